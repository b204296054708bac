//! Who answers what: paths with their methods, and a directory for everything else.

use crate::files::Files;
use crate::loop_state::Answer;
use crate::request::{Method, Request};
use crate::response::Response;
use crate::status::Status;

/// A table of handlers. The path of a route is compared with the request's as it was sent: `/a%62` is not `/ab`. That is
/// no hole, as nothing is allowed by not being found.
#[derive(Default)]
pub struct Routes {
    routes: Vec<Route>,
    files: Option<Files>,
    otherwise: Option<Answer>,
}

struct Route {
    path: String,
    methods: Vec<(Method, Answer)>,
}

impl Routes {
    /// Without any: everything is a 404.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers GET, and HEAD in the same way without the body (RFC 9110 section 9.3.2).
    pub fn get(
        self,
        path: &str,
        answer: impl Fn(&Request, &mut Response) + Send + Sync + 'static,
    ) -> Self {
        self.on(Method::Get, path, answer)
    }

    /// Answers POST.
    pub fn post(
        self,
        path: &str,
        answer: impl Fn(&Request, &mut Response) + Send + Sync + 'static,
    ) -> Self {
        self.on(Method::Post, path, answer)
    }

    /// Answers a method.
    pub fn on(
        mut self,
        method: Method,
        path: &str,
        answer: impl Fn(&Request, &mut Response) + Send + Sync + 'static,
    ) -> Self {
        let index = self.routes.iter().position(|route| route.path == path);
        let index = index.unwrap_or_else(|| {
            self.routes.push(Route {
                path: path.into(),
                methods: Vec::new(),
            });
            self.routes.len() - 1
        });
        self.routes[index].methods.push((method, Box::new(answer)));
        self
    }

    /// Serves a directory under every path that has no route.
    pub fn files(mut self, files: Files) -> Self {
        self.files = Some(files);
        self
    }

    /// Answers everything else. Without it, that is a 404.
    pub fn otherwise(
        mut self,
        answer: impl Fn(&Request, &mut Response) + Send + Sync + 'static,
    ) -> Self {
        self.otherwise = Some(Box::new(answer));
        self
    }

    /// The handler for [`Server::bind`](crate::Server::bind).
    pub fn handler(self) -> impl Fn(&Request, &mut Response) + Send + Sync + 'static {
        move |request, response| self.answer(request, response)
    }

    #[inline]
    fn answer(&self, request: &Request, response: &mut Response) {
        let path = request.raw_path();
        if let Some(route) = self
            .routes
            .iter()
            .find(|route| route.path.as_bytes() == path)
        {
            return route.answer(request, response);
        }
        match (&self.files, &self.otherwise, request.method()) {
            // The server as a whole, RFC 9110 section 9.3.7.
            _ if path == b"*" => allow(response, Status::Ok, &[Method::Get, Method::Post]),
            (Some(files), _, Method::Get | Method::Head) => files.answer(request, response),
            (_, Some(otherwise), _) => otherwise(request, response),
            (Some(_), None, Method::Options) => {
                allow(response, Status::NoContent, &[Method::Get]);
            }
            (Some(_), None, _) => allow(response, Status::MethodNotAllowed, &[Method::Get]),
            (None, None, _) => {
                response.error(Status::NotFound);
            }
        }
    }
}

impl Route {
    #[inline]
    fn answer(&self, request: &Request, response: &mut Response) {
        let wanted = match request.method() {
            Method::Head => Method::Get,
            method => method,
        };
        let exact = |method| self.methods.iter().find(|one| one.0 == method);
        if let Some((_, answer)) = exact(request.method()).or_else(|| exact(wanted)) {
            return answer(request, response);
        }
        let methods: Vec<_> = self.methods.iter().map(|one| one.0).collect();
        let status = match wanted {
            Method::Options => Status::NoContent,
            _ => Status::MethodNotAllowed,
        };
        allow(response, status, &methods);
    }
}

/// Tells which methods there are: RFC 9110 section 10.2.1, 15.5.6.
fn allow(response: &mut Response, status: Status, methods: &[Method]) {
    if status == Status::MethodNotAllowed {
        response.error(status);
    }
    let mut names: Vec<_> = methods.iter().map(|method| method.as_str()).collect();
    if methods.contains(&Method::Get) && !methods.contains(&Method::Head) {
        names.push(Method::Head.as_str());
    }
    names.push(Method::Options.as_str());
    response.status(status).header("Allow", &names.join(", "));
}
