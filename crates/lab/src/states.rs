//! TCP's state diagram for the book, with the edges that a run took.
//!
//! It is made from what the book shows: the ladders in `docs/src/lab`, in the order in which the pages include them. So
//! whoever doubts an edge finds it in the ladder that is named beside it.
//!
//! The lab asks for the states after each packet (see [`crate::observe`]), and of two quick steps it may see only the
//! whole: ESTABLISHED → TIME-WAIT. Such a leap is no edge of the diagram, and nothing is concluded from it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::record::TcpState::{self, *};
use crate::render::Written;

/// An edge of the diagram.
struct Edge {
    from: TcpState,
    to: TcpState,
    /// What happens, for the table.
    event: &'static str,
    /// The same in few words, beside the arrow.
    label: &'static str,
    /// The corners of the arrow, and where the middle of its label is.
    way: &'static [(i32, i32)],
    label_at: (i32, i32),
    ink: &'static str,
}

/// The diagram of RFC 9293, section 3.3.2, with the edge that its note 2 adds.
const EDGES: [Edge; 21] = [
    Edge {
        from: Closed,
        to: Listen,
        event: "the program calls `listen`",
        label: "listen",
        way: &[(345, 45), (345, 115)],
        label_at: (316, 72),
        ink: "open",
    },
    Edge {
        from: Listen,
        to: Closed,
        event: "the program closes the listener",
        label: "close",
        way: &[(375, 115), (375, 45)],
        label_at: (404, 72),
        ink: "close",
    },
    Edge {
        from: Closed,
        to: SynSent,
        event: "the program calls `connect`; SYN is sent",
        label: "connect / SYN",
        way: &[(425, 24), (630, 24), (630, 215)],
        label_at: (530, 17),
        ink: "open",
    },
    Edge {
        from: SynSent,
        to: Closed,
        event: "RST comes, or nothing for too long, or the program closes",
        label: "RST, time-out",
        way: &[(580, 215), (580, 36), (425, 36)],
        label_at: (524, 52),
        ink: "close",
    },
    Edge {
        from: Listen,
        to: SynReceived,
        event: "SYN comes; SYN and ACK are sent. On Linux the listener stays, and a new socket is in this state",
        label: "SYN / SYN ACK",
        way: &[(295, 130), (130, 130), (130, 215)],
        label_at: (206, 123),
        ink: "open",
    },
    Edge {
        from: SynReceived,
        to: Listen,
        event: "RST comes: on Linux the new socket is gone, and the listener has never left its state",
        label: "RST",
        way: &[(165, 215), (165, 165), (330, 165), (330, 145)],
        label_at: (248, 180),
        ink: "close",
    },
    Edge {
        from: Listen,
        to: SynSent,
        event: "the program sends on a listener; Linux does not allow it",
        label: "send / SYN",
        way: &[(425, 130), (545, 130), (545, 215)],
        label_at: (485, 123),
        ink: "open",
    },
    Edge {
        from: SynSent,
        to: SynReceived,
        event: "SYN comes without ACK: both ends open at the same time",
        label: "SYN / SYN ACK",
        way: &[(525, 230), (195, 230)],
        label_at: (360, 223),
        ink: "open",
    },
    Edge {
        from: SynReceived,
        to: Established,
        event: "ACK of the SYN comes",
        label: "ACK",
        way: &[(165, 245), (165, 318), (295, 318)],
        label_at: (230, 311),
        ink: "open",
    },
    Edge {
        from: SynSent,
        to: Established,
        event: "SYN and ACK come; ACK is sent",
        label: "SYN ACK / ACK",
        way: &[(590, 245), (590, 318), (425, 318)],
        label_at: (508, 311),
        ink: "open",
    },
    Edge {
        from: SynReceived,
        to: FinWait1,
        event: "the program closes before the handshake is over; FIN is sent",
        label: "close / FIN",
        way: &[(90, 245), (90, 405)],
        label_at: (46, 325),
        ink: "close",
    },
    Edge {
        from: Established,
        to: FinWait1,
        event: "the program closes first; FIN is sent",
        label: "close / FIN",
        way: &[(295, 332), (150, 332), (150, 405)],
        label_at: (222, 347),
        ink: "close",
    },
    Edge {
        from: Established,
        to: CloseWait,
        event: "FIN comes; ACK is sent",
        label: "FIN / ACK",
        way: &[(425, 332), (590, 332), (590, 405)],
        label_at: (508, 347),
        ink: "close",
    },
    Edge {
        from: FinWait1,
        to: FinWait2,
        event: "ACK of the FIN comes",
        label: "ACK",
        way: &[(110, 435), (110, 525)],
        label_at: (88, 483),
        ink: "close",
    },
    Edge {
        from: FinWait1,
        to: Closing,
        event: "FIN comes before the ACK of ours: both ends close at the same time; ACK is sent",
        label: "FIN / ACK",
        way: &[(195, 420), (360, 420), (360, 455)],
        label_at: (278, 413),
        ink: "close",
    },
    Edge {
        from: FinWait1,
        to: TimeWait,
        event: "FIN comes together with the ACK of ours; ACK is sent",
        label: "FIN ACK / ACK",
        way: &[(170, 435), (170, 500), (310, 500), (310, 585)],
        label_at: (236, 493),
        ink: "close",
    },
    Edge {
        from: CloseWait,
        to: LastAck,
        event: "the program closes, too; FIN is sent",
        label: "close / FIN",
        way: &[(590, 435), (590, 525)],
        label_at: (634, 483),
        ink: "close",
    },
    Edge {
        from: FinWait2,
        to: TimeWait,
        event: "FIN comes; ACK is sent",
        label: "FIN / ACK",
        way: &[(130, 555), (130, 600), (295, 600)],
        label_at: (212, 593),
        ink: "close",
    },
    Edge {
        from: Closing,
        to: TimeWait,
        event: "ACK of the FIN comes",
        label: "ACK",
        way: &[(375, 485), (375, 585)],
        label_at: (396, 538),
        ink: "close",
    },
    Edge {
        from: LastAck,
        to: Closed,
        event: "ACK of the FIN comes",
        label: "ACK",
        way: &[(590, 555), (590, 585)],
        label_at: (612, 573),
        ink: "close",
    },
    Edge {
        from: TimeWait,
        to: Closed,
        event: "the time is over, 60 seconds on Linux",
        label: "60 seconds",
        way: &[(425, 600), (525, 600)],
        label_at: (474, 593),
        ink: "close",
    },
];

/// The middle of each state's box. CLOSED is there twice: at the beginning and at the end.
const BOXES: [(TcpState, i32, i32); 12] = [
    (Closed, 360, 30),
    (Listen, 360, 130),
    (SynReceived, 130, 230),
    (SynSent, 590, 230),
    (Established, 360, 325),
    (FinWait1, 130, 420),
    (CloseWait, 590, 420),
    (Closing, 360, 470),
    (FinWait2, 130, 540),
    (LastAck, 590, 540),
    (TimeWait, 360, 600),
    (Closed, 590, 600),
];

/// A ladder that the book shows.
struct Shown {
    /// `11/close`.
    id: String,
    /// The page that includes it: `11-close-shutdown.md`.
    page: String,
    /// The edges in it.
    edges: Vec<(TcpState, TcpState)>,
}

/// Where the book has the diagram.
pub fn path(docs: &Path) -> PathBuf {
    docs.join("src/lab/states.md")
}

/// Draws the diagram anew, if the ladders of the book show other edges than it does.
pub fn write(docs: &Path) -> io::Result<Written> {
    let path = path(docs);
    let text = page_part(docs)?;
    let before = fs::read_to_string(&path).ok();
    let written = match before {
        Some(before) if before == text => return Ok(Written::Same),
        Some(_) => Written::Changed,
        None => Written::New,
    };
    fs::write(&path, text)?;
    Ok(written)
}

/// What belongs into the file: the pieces `diagram` and `edges` for a page to include.
pub fn page_part(docs: &Path) -> io::Result<String> {
    let shown = shown(docs)?;
    let taken: Vec<Vec<&Shown>> = EDGES
        .iter()
        .map(|edge| {
            let takes = |shown: &&Shown| shown.edges.contains(&(edge.from, edge.to));
            shown.iter().filter(takes).collect()
        })
        .collect();
    let mut text = String::from("<!-- made by `lab render` from the ladders of the book -->\n");
    _ = writeln!(
        text,
        "<!-- ANCHOR: diagram -->\n<div class=\"ladder\">\n{}</div>\n<!-- ANCHOR_END: diagram -->\n",
        diagram(&taken)
    );
    _ = writeln!(
        text,
        "<!-- ANCHOR: edges -->\n| from | to | what happens | first shown by |\n|---|---|---|---|"
    );
    for (edge, taken) in EDGES.iter().zip(&taken) {
        let by = taken.first().map_or("no run".into(), |first| {
            format!("[`{}`]({})", first.id, first.page)
        });
        _ = writeln!(
            text,
            "| {} | {} | {} | {by} |",
            edge.from, edge.to, edge.event
        );
    }
    text.push_str("<!-- ANCHOR_END: edges -->\n");
    Ok(text)
}

/// The ladders in the order in which the lessons' pages show them.
fn shown(docs: &Path) -> io::Result<Vec<Shown>> {
    let mut pages: Vec<String> = fs::read_dir(docs.join("src"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()?;
    pages.retain(|name| name.ends_with(".md") && name.starts_with(|c: char| c.is_ascii_digit()));
    pages.sort();
    let mut shown = Vec::new();
    for page in pages {
        let text = fs::read_to_string(docs.join("src").join(&page))?;
        let ladders = text.lines().filter_map(|line| {
            let file = line.strip_prefix("{{#include lab/")?;
            file.strip_suffix(".md:ladder}}")
        });
        for name in ladders {
            // `scripts/book` tells of a file that is not there.
            let Ok(ladder) = fs::read_to_string(docs.join(format!("src/lab/{name}.md"))) else {
                continue;
            };
            shown.push(Shown {
                id: name.replacen('-', "/", 1),
                page: page.clone(),
                edges: edges(&ladder),
            });
        }
    }
    Ok(shown)
}

/// The edges in the picture of a ladder. A socket's first state, alone in its place, has been entered from the state in
/// which sockets begin.
fn edges(ladder: &str) -> Vec<(TcpState, TcpState)> {
    let texts = ladder.lines().filter_map(|line| {
        let (_, text) = line.split_once(" class=\"state\">")?;
        text.strip_suffix("</text>")
    });
    let mut edges = Vec::new();
    for text in texts {
        let states: Vec<Option<TcpState>> = text.split(" → ").map(named).collect();
        match states.as_slice() {
            [Some(first @ (Listen | SynSent))] => edges.push((Closed, *first)),
            [Some(SynReceived)] => edges.push((Listen, SynReceived)),
            _ => edges.extend(
                states
                    .windows(2)
                    .filter_map(|pair| Some((pair[0]?, pair[1]?))),
            ),
        }
    }
    edges
}

fn named(name: &str) -> Option<TcpState> {
    let mut all = BOXES.iter().map(|(state, ..)| *state);
    all.find(|state| state.to_string() == name)
}

fn diagram(taken: &[Vec<&Shown>]) -> String {
    let number = taken.iter().filter(|taken| !taken.is_empty()).count();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 640\" width=\"720\" role=\"img\" \
         aria-labelledby=\"states-title\" font-size=\"13\">\n\
         <title id=\"states-title\">The states of a TCP connection: {number} of {} edges were taken by a run; the table \
         below lists them</title>\n",
        EDGES.len()
    );
    for (edge, taken) in EDGES.iter().zip(taken) {
        arrow(&mut svg, edge, !taken.is_empty());
    }
    for (state, x, y) in BOXES {
        _ = writeln!(
            svg,
            "<rect x=\"{}\" y=\"{}\" width=\"130\" height=\"30\" rx=\"5\" fill=\"none\" stroke=\"currentColor\"/>\n\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" font-weight=\"600\">{state}</text>",
            x - 65,
            y - 15,
            y + 5
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn arrow(svg: &mut String, edge: &Edge, taken: bool) {
    let [.., (x, y), (end_x, end_y)] = *edge.way else {
        return;
    };
    let (class, width, opacity) = match taken {
        true => (edge.ink, "1.8", "1"),
        false => ("quiet", "0.8", "0.7"),
    };
    let (first_x, first_y) = edge.way[0];
    let mut line = format!("M{first_x} {first_y}");
    for (x, y) in &edge.way[1..] {
        _ = write!(line, "L{x} {y}");
    }
    // The head: back from the end, against the direction of the last piece, and to both sides of it.
    let back = ((x - end_x).signum() * 8, (y - end_y).signum() * 8);
    let head = format!(
        "M{end_x} {end_y}l{} {}M{end_x} {end_y}l{} {}",
        back.0 + back.1 / 2,
        back.1 + back.0 / 2,
        back.0 - back.1 / 2,
        back.1 - back.0 / 2
    );
    let (label_x, label_y) = edge.label_at;
    _ = writeln!(
        svg,
        "<g class=\"{class}\" stroke=\"currentColor\" stroke-width=\"{width}\">\
         <path d=\"{line}{head}\" fill=\"none\" stroke-opacity=\"{opacity}\"/>\n\
         <text x=\"{label_x}\" y=\"{label_y}\" text-anchor=\"middle\" font-size=\"12\" stroke=\"none\">{}</text></g>",
        edge.label
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::workspace;

    #[test]
    fn the_book_has_the_edges_of_its_ladders() {
        let docs = workspace().join("docs");
        let expected = page_part(&docs).expect("the book's sources can be read");
        let file = fs::read_to_string(path(&docs)).expect("docs/src/lab/states.md is there");
        assert!(
            file == expected,
            "docs/src/lab/states.md is not what the ladders show: run `cargo run -p lab -- states`"
        );
    }

    #[test]
    fn edges_are_read_from_a_ladder() {
        let ladder = "<text x=\"1\" y=\"2\" class=\"state\">LISTEN</text>\n\
                      <text x=\"1\" y=\"3\" class=\"state\">SYN-RECEIVED</text>\n\
                      <text x=\"1\" y=\"4\" class=\"said\">LISTEN → CLOSED</text>\n\
                      <text x=\"1\" y=\"5\" class=\"state\">ESTABLISHED → CLOSE-WAIT → LAST-ACK</text>\n";
        let expected = [
            (Closed, Listen),
            (Listen, SynReceived),
            (Established, CloseWait),
            (CloseWait, LastAck),
        ];
        assert_eq!(edges(ladder), expected);
    }

    #[test]
    fn a_shortened_text_is_no_edge() {
        let ladder = "<text x=\"1\" y=\"2\" class=\"state\">FIN-WAIT-1 → FIN-W…</text>\n";
        assert_eq!(edges(ladder), []);
    }

    #[test]
    fn arrows_begin_and_end_at_their_states() {
        let touches = |state: TcpState, (x, y): (i32, i32)| {
            BOXES.iter().any(|&(other, middle_x, middle_y)| {
                other == state && (x - middle_x).abs() <= 65 && (y - middle_y).abs() <= 15
            })
        };
        for edge in &EDGES {
            let (from, to) = (edge.from, edge.to);
            assert!(touches(from, edge.way[0]), "{from} → {to}");
            assert!(touches(to, edge.way[edge.way.len() - 1]), "{from} → {to}");
        }
    }
}
