//! A page that shows what the loops do, and keeps itself up to date: an example of server-sent events.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::request::Request;
use crate::response::{More, Response};
use crate::routes::Routes;
use crate::statistics::Statistics;

/// The time between two events.
const PERIOD: Duration = Duration::from_millis(500);

impl Routes {
    /// Shows the counters on a page at `path`, and sends them as events at `path` + `/events`.
    pub fn live(self, path: &str, statistics: &Arc<Statistics>) -> Self {
        let statistics = Arc::clone(statistics);
        self.get(path, page)
            .get(&format!("{path}/events"), move |request, response| {
                events(&statistics, request, response);
            })
    }
}

/// The page. Its script listens to the events.
fn page(_: &Request, response: &mut Response) {
    response
        .content_type("text/html; charset=utf-8")
        .static_body(include_bytes!("live.html"));
}

/// An event each period: the counters of every loop, and which loop and connection this very stream belongs to. A quiet
/// stream would not notice that its reader is gone; this one does with the first event after it.
fn events(statistics: &Arc<Statistics>, request: &Request, response: &mut Response) {
    let statistics = Arc::clone(statistics);
    let own_loop = request.loop_name().to_string();
    let peer = request
        .peer()
        .map(|peer| peer.to_string())
        .unwrap_or_default();
    response.events(move |part: &mut Vec<u8>| {
        let you = format_args!(r#"{{"loop":"{own_loop}","peer":"{peer}"}}"#);
        let _ = write!(part, "data: {{\"you\":{you},\"loops\":{statistics}}}\n\n");
        More::After(PERIOD)
    });
}
