//! Status codes, RFC 9110 section 15, and why a request is refused.

macro_rules! statuses {
    ($($name:ident $code:literal $reason:literal)*) => {
        /// A status code that this server or its handlers send.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "their names are those of RFC 9110")]
        pub enum Status {
            $($name = $code),*
        }

        impl Status {
            /// Every one of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// `Not Found`.
            pub fn reason(self) -> &'static str {
                match self {
                    $(Self::$name => $reason),*
                }
            }

            /// The whole status line with its CRLF: bytes that stand in the program, RFC 9112 section 4.
            pub(crate) fn line(self) -> &'static [u8] {
                match self {
                    $(Self::$name => concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n").as_bytes()),*
                }
            }
        }
    };
}

statuses! {
    Ok 200 "OK"
    Created 201 "Created"
    Accepted 202 "Accepted"
    NoContent 204 "No Content"
    PartialContent 206 "Partial Content"
    MovedPermanently 301 "Moved Permanently"
    Found 302 "Found"
    SeeOther 303 "See Other"
    NotModified 304 "Not Modified"
    TemporaryRedirect 307 "Temporary Redirect"
    PermanentRedirect 308 "Permanent Redirect"
    BadRequest 400 "Bad Request"
    Forbidden 403 "Forbidden"
    NotFound 404 "Not Found"
    MethodNotAllowed 405 "Method Not Allowed"
    RequestTimeout 408 "Request Timeout"
    Conflict 409 "Conflict"
    Gone 410 "Gone"
    PreconditionFailed 412 "Precondition Failed"
    ContentTooLarge 413 "Content Too Large"
    UriTooLong 414 "URI Too Long"
    UnsupportedMediaType 415 "Unsupported Media Type"
    RangeNotSatisfiable 416 "Range Not Satisfiable"
    ExpectationFailed 417 "Expectation Failed"
    UnprocessableContent 422 "Unprocessable Content"
    TooManyRequests 429 "Too Many Requests"
    FieldsTooLarge 431 "Request Header Fields Too Large"
    InternalServerError 500 "Internal Server Error"
    NotImplemented 501 "Not Implemented"
    ServiceUnavailable 503 "Service Unavailable"
    VersionNotSupported 505 "HTTP Version Not Supported"
}

impl Status {
    /// The number.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// No body follows, whatever the header says: RFC 9110 section 6.4.1. (And none after an answer to HEAD.)
    pub fn has_no_body(self) -> bool {
        matches!(self, Self::NoContent | Self::NotModified)
    }
}

/// Why a request is not answered but refused. After that nothing more is read from the connection: where the next request
/// would begin cannot be known, and guessing is what request smuggling lives on (RFC 9112 section 11.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// RFC 9112 section 3: one space between three words, and nothing else.
    #[error("the request line is malformed")]
    RequestLine,
    /// RFC 9110 section 9.1.
    #[error("the method is not implemented")]
    Method,
    /// RFC 9112 section 3.2.
    #[error("the request target is invalid")]
    Target,
    /// RFC 9112 section 3: to be expected from 8 000 bytes on.
    #[error("the request line is too long")]
    RequestLineTooLong,
    /// RFC 9110 section 2.5.
    #[error("this server speaks HTTP/1.1 and HTTP/1.0")]
    Version,
    /// RFC 9112 section 2.2: a line ends with CRLF, and no CR stands elsewhere.
    #[error("a line does not end with CR LF")]
    LineEnd,
    /// RFC 9112 section 5.1: no white space before the colon. A folded line (section 5.2) has some at its start.
    #[error("a header field's name is malformed")]
    FieldName,
    /// RFC 9110 section 5.5.
    #[error("a header field's value contains a control character")]
    FieldValue,
    /// RFC 6585 section 5.
    #[error("the header is too large")]
    FieldsTooLarge,
    /// RFC 6585 section 5.
    #[error("the header has too many fields")]
    TooManyFields,
    /// RFC 9112 section 3.2: exactly one, and a valid one.
    #[error("the Host field is missing, repeated or invalid")]
    Host,
    /// RFC 9112 section 6.3.
    #[error("Content-Length is invalid")]
    ContentLength,
    /// RFC 9112 section 6.1 and 6.3: chunked once, at the end, and not in HTTP/1.0.
    #[error("Transfer-Encoding is invalid")]
    TransferEncoding,
    /// RFC 9112 section 6.1.
    #[error("the transfer coding is not implemented")]
    Coding,
    /// RFC 9112 section 6.3: the classic of request smuggling.
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    TwoLengths,
    /// RFC 9112 section 7.1.
    #[error("the chunked body is malformed")]
    Chunk,
    /// RFC 9112 section 7.1.1.
    #[error("the chunk extensions are too long")]
    Extensions,
    /// RFC 9112 section 7.1.2.
    #[error("the trailer is too large")]
    TrailerTooLarge,
    /// RFC 9110 section 15.5.14.
    #[error("the body is too large")]
    BodyTooLarge,
    /// RFC 9110 section 10.1.1.
    #[error("only 100-continue can be expected")]
    Expectation,
    /// RFC 9110 section 15.5.9.
    #[error("the request did not arrive in time")]
    TimedOut,
    /// RFC 9110 section 15.6.4.
    #[error("there are too many connections")]
    Busy,
}

impl Refusal {
    /// The status that tells it.
    pub fn status(self) -> Status {
        match self {
            Self::Method | Self::Coding => Status::NotImplemented,
            Self::RequestLineTooLong => Status::UriTooLong,
            Self::Version => Status::VersionNotSupported,
            Self::FieldsTooLarge | Self::TooManyFields | Self::TrailerTooLarge => {
                Status::FieldsTooLarge
            }
            Self::BodyTooLarge => Status::ContentTooLarge,
            Self::Expectation => Status::ExpectationFailed,
            Self::TimedOut => Status::RequestTimeout,
            Self::Busy => Status::ServiceUnavailable,
            _ => Status::BadRequest,
        }
    }
}
