//! What chapter 2 sketches: datagrams that are numbered, acknowledged and sent again, so that each line arrives once
//! and in order. TCP does the same with more skill; this is the least that does it at all.

mod client;
mod server;
mod window;

/// Lines over UDP, each delivered once and in order
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    Server(server::Args),
    Client(client::Args),
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.role {
        Role::Server(args) => server::run(args),
        Role::Client(args) => client::run(args),
    }
}

// ANCHOR: window
/// How many lines may be on their way at once. The client sends no line before the one that is WINDOW places ahead of it
/// is acknowledged, and the server holds so many that came too early. A window of one (stop and wait) would need no
/// order at all, but also a round trip for each line; eight is enough for datagrams to overtake each other, and bounds
/// what the server must remember.
const WINDOW: u64 = 8;
// ANCHOR_END: window

// ANCHOR: wire
/// What goes over the wire, all numbers big-endian:
///
/// ```text
///  0          4          8                    16                   24
///  +----------+----------+--------------------+--------------------+
///  | kind = 1 | session  | number             | the line, to the end of the datagram
///  | kind = 2 | session  | number             | next               |
///  +----------+----------+--------------------+--------------------+
/// ```
///
/// The session is a random number that the client picks at its start: the next client may get the same port, and what
/// is still on the wire from the last one must not be taken for its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message<'a> {
    /// A line. The first one of a session has number 0.
    Data {
        session: u32,
        number: u64,
        line: &'a [u8],
    },
    /// The answer to the datagram `number`: it has arrived, and every line before `next` is delivered. The client is
    /// done with a line only when it is delivered; one that merely arrived need not be sent again.
    Ack {
        session: u32,
        number: u64,
        next: u64,
    },
}
// ANCHOR_END: wire

const DATA: u32 = 1;
const ACK: u32 = 2;

impl<'a> Message<'a> {
    fn encode(&self) -> Vec<u8> {
        let (kind, session, number, rest): (u32, _, _, &[u8]) = match self {
            Message::Data {
                session,
                number,
                line,
            } => (DATA, session, number, line),
            Message::Ack {
                session,
                number,
                next,
            } => (ACK, session, number, &next.to_be_bytes()),
        };
        let head = [kind.to_be_bytes(), session.to_be_bytes()].concat();
        [&head, &number.to_be_bytes()[..], rest].concat()
    }

    /// `None` for what is not of this protocol.
    fn decode(datagram: &'a [u8]) -> Option<Self> {
        let (kind, rest) = datagram.split_first_chunk()?;
        let (session, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let session = u32::from_be_bytes(*session);
        let number = u64::from_be_bytes(*number);
        match u32::from_be_bytes(*kind) {
            DATA => Some(Message::Data {
                session,
                number,
                line: rest,
            }),
            ACK => Some(Message::Ack {
                session,
                number,
                next: u64::from_be_bytes(rest.try_into().ok()?),
            }),
            _ => None,
        }
    }
}
