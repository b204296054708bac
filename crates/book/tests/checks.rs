//! A small book that is right, and every way in which it can be wrong.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use book::html::{self, Piece};
use tempfile::TempDir;

const LESSON: &str = "11-lesson.md";

/// What the lab has written of a run.
const RUN: &str = "\
<!-- made by `lab render 11/close` on Linux 6.18 -->
<!-- ANCHOR: ladder -->
<div class=\"ladder\">
<svg viewBox=\"0 0 2 2\">

    <path d=\"M1 1\"/>
</svg>
</div>
<!-- ANCHOR_END: ladder -->

<!-- ANCHOR: server -->
```console
listening on 127.0.0.1:43211
received 5 bytes: data1
```
<!-- ANCHOR_END: server -->
";

/// What the workspace says of itself.
const README: &str = "\
# Course

| lesson | programs | experiments |
|---|---|---|
| `chap-11` a lesson | `talk` | 1 |

Chapters 1 and 9 are pages of the book without programs.
";

/// A workspace with a book in it.
struct Fixture(TempDir);

impl Fixture {
    fn new() -> Self {
        let fixture = Self(tempfile::tempdir().unwrap());
        fixture.write(
            "docs/book.toml",
            "[book]\ntitle = \"t\"\n[output.html]\nsmart-punctuation = false\nplayground.runnable = false\n",
        );
        fixture.write(
            "docs/questions.toml",
            "[[question]]\nid = \"q-11-1\"\npage = \"11-lesson.md\"\nasks = \"Why?\"\nshown_by = [\"11/close\"]\n",
        );
        fixture.write(
            "docs/src/SUMMARY.md",
            "# Summary\n\n- [Lesson](11-lesson.md)\n- [Terms](terms.md)\n- [Later](12-later.md)\n",
        );
        fixture.write(
            "docs/src/terms.md",
            "# Terms\n\n<dfn id=\"rst\">RST</dfn>. The end.\n",
        );
        fixture.write(
            "docs/src/12-later.md",
            "<!-- status: planned -->\n\n# Later\n\nNot written yet.\n",
        );
        fixture.write(
            "chapters/11-lesson/src/main.rs",
            "fn main() {\n    // ANCHOR: say\n    if true {\n        println!();\n    }\n    // ANCHOR_END: say\n}\n",
        );
        fixture.write(
            "chapters/11-lesson/Cargo.toml",
            "[package]\nname = \"chap-11\"\n",
        );
        fixture.write("README.md", README);
        fixture.write("docs/src/lab/11-close.md", RUN);
        fixture.write(
            "docs/pictures/buffer.svg",
            "<?xml version=\"1.0\"?>\n<svg viewBox=\"0 0 1 1\">\n\n    <path d=\"M0 0\"/>\n</svg>\n",
        );
        fixture.lesson(&lesson());
        fixture
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn lesson(&self, text: &str) {
        self.write("docs/src/11-lesson.md", text);
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.0.path().join(path)).unwrap();
    }

    fn docs(&self) -> std::path::PathBuf {
        self.0.path().join("docs")
    }

    fn problems(&self) -> Vec<String> {
        let book = book::check(&self.docs()).unwrap();
        book.problems.iter().map(ToString::to_string).collect()
    }

    /// Asserts that this one thing is found, there in the book, and nothing else.
    fn fails(&self, place: &str, what: &str) {
        self.fails_at(&format!("docs/{place}"), what);
    }

    /// The same, anywhere in the workspace.
    fn fails_at(&self, place: &str, what: &str) {
        let problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(
            problems[0].starts_with(&format!("{place}: ")),
            "{problems:#?}"
        );
        assert!(problems[0].contains(what), "{problems:#?}");
    }

    /// Runs the program on this book.
    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_book"))
            .current_dir(self.0.path())
            .args(["--docs", "docs"])
            .args(arguments)
            .output()
            .unwrap()
    }
}

/// A lesson's page in which nothing is wrong.
fn lesson() -> String {
    let mut page = String::from(
        "# A lesson\n\n<div class=\"facts\">\n\n- **Minutes:** 5\n- **Before this:** nothing\n- **Man pages:** \
         tcp(7)\n\n</div>\n\n## The question\n\nAn [RST](terms.md#rst).\n",
    );
    for section in &book::lesson::SECTIONS[1..] {
        page.push_str(&format!("\n## {section}\n"));
        page.push_str(match *section {
            "Run" => "\n```sh\ncargo run -p chap-11 -- talk\n```\n",
            "Observe" => {
                "\n{{#include lab/11-close.md:ladder}}\n\n{{#include lab/11-close.md:server}}\n\n<div \
                 class=\"ladder\">\n{{#include ../pictures/buffer.svg}}\n</div>\n"
            }
            "The code" => {
                "\n```rust\n{{#include ../../chapters/11-lesson/src/main.rs:say}}\n```\n"
            }
            "Answers" => {
                "\n<details class=\"question\" id=\"q-11-1\">\n<summary>Why?</summary>\n\nSee `11/close`.\n\n</details>\n"
            }
            _ => "",
        });
    }
    page
}

fn line_of(page: &str, text: &str) -> usize {
    page.lines().position(|line| line.contains(text)).unwrap() + 1
}

/// A lesson in which one thing is replaced, and the line where that is.
fn changed(from: &str, to: &str) -> (Fixture, String) {
    let page = lesson();
    let line = line_of(&page, from);
    let fixture = Fixture::new();
    fixture.lesson(&page.replace(from, to));
    (fixture, format!("src/{LESSON}:{line}"))
}

#[test]
fn a_book_in_which_nothing_is_wrong_passes() {
    let fixture = Fixture::new();
    let book = book::check(&fixture.docs()).unwrap();
    assert_eq!(book.problems, []);
    assert_eq!(book.planned, [Path::new("12-later.md")]);
    assert_eq!((book.answered, book.questions), (1, 1));
}

#[test]
fn a_link_to_a_page_that_is_not_there() {
    let (fixture, place) = changed("(terms.md#rst)", "(gone.md)");
    fixture.fails(&place, "no such page in SUMMARY.md");
}

#[test]
fn a_link_to_a_file_that_is_not_there() {
    let (fixture, place) = changed("(terms.md#rst)", "(gone.png)");
    fixture.fails(&place, "no such file in docs/src");
}

#[test]
fn a_link_out_of_the_book() {
    let (fixture, place) = changed("(terms.md#rst)", "(../../chapters/11-lesson/src/main.rs)");
    fixture.fails(&place, "no part of the book");
}

#[test]
fn a_link_to_an_anchor_that_is_not_there() {
    let (fixture, place) = changed("#rst", "#fin");
    fixture.fails(&place, "no anchor `fin` on terms.md");
    let (fixture, place) = changed("terms.md#rst", "#fin");
    fixture.fails(&place, "no anchor `fin` on 11-lesson.md");
}

#[test]
fn a_link_in_html_is_followed_too() {
    let (fixture, place) = changed("[RST](terms.md#rst)", "<a href=\"terms.md#fin\">x</a>");
    fixture.fails(&place, "no anchor `fin`");
}

#[test]
fn a_link_in_markdown_within_html() {
    let (fixture, place) = changed(
        "An [RST](terms.md#rst).",
        "<div>An [RST](terms.md#rst).</div>",
    );
    fixture.fails(&place, "leave a blank line");
}

#[test]
fn a_link_whose_label_is_defined_nowhere() {
    let (fixture, place) = changed("(terms.md#rst)", "[rst]");
    fixture.fails(&place, "label [rst]");
}

#[test]
fn an_include_of_a_file_that_is_not_there() {
    let (fixture, place) = changed("main.rs:say", "gone.rs:say");
    fixture.fails(&place, "chapters/11-lesson/src/gone.rs");
}

#[test]
fn an_include_of_an_anchor_that_is_not_there() {
    let (fixture, place) = changed("main.rs:say", "main.rs:gone");
    fixture.fails(&place, "no anchor `gone`");
}

#[test]
fn an_include_by_line_numbers() {
    let (fixture, place) = changed("main.rs:say", "main.rs:2:3");
    fixture.fails(&place, "name an anchor");
}

#[test]
fn an_include_from_outside_the_workspace() {
    let (fixture, place) = changed(
        "../../chapters/11-lesson/src/main.rs:say",
        "../../../x.rs:say",
    );
    fixture.fails(&place, "outside the workspace");
}

#[test]
fn a_run_that_was_not_rendered() {
    let (fixture, place) = changed("lab/11-close.md:ladder", "lab/11-shut-rd.md:ladder");
    fixture.fails(&place, "`cargo run -p lab -- render 11/shut-rd` writes it");
}

#[test]
fn an_include_into_the_text_from_the_sources() {
    let (fixture, place) = changed(
        "../pictures/buffer.svg",
        "../../chapters/11-lesson/src/main.rs",
    );
    fixture.fails(&place, "outside a code block");
}

#[test]
fn code_that_is_typed_in() {
    let (fixture, place) = changed("```sh", "```rust");
    fixture.fails(&place, "neither included nor generated");
}

#[test]
fn code_in_html() {
    let (fixture, place) = changed("An [RST](terms.md#rst).", "<pre>typed in</pre>");
    fixture.fails(&place, "<pre>");
}

#[test]
fn an_include_that_ends_its_own_block() {
    let (fixture, place) = changed(
        "../../chapters/11-lesson/src/main.rs:say",
        "lab/11-close.md:server",
    );
    let place = format!("docs/{place}: what is included ends the code block");
    let problems = fixture.problems();
    assert!(
        problems.iter().any(|problem| problem.starts_with(&place)),
        "{problems:#?}"
    );
}

#[test]
fn code_by_indentation() {
    let (fixture, place) = changed("An [RST]", "An\n\n    [RST]");
    let line: usize = place.rsplit(':').next().unwrap().parse().unwrap();
    fixture.fails(&format!("src/{LESSON}:{}", line + 2), "by indentation");
}

#[test]
fn a_question_without_an_answer() {
    let page = lesson();
    let start = page.find("<details").unwrap();
    let fixture = Fixture::new();
    fixture.lesson(&page[..start]);
    fixture.fails(
        &format!("src/{LESSON}:1"),
        "question `q-11-1` is not answered: Why?",
    );
}

#[test]
fn a_question_with_an_empty_answer() {
    let page = lesson().replace("See `11/close`.", "");
    let fixture = Fixture::new();
    fixture.lesson(&page);
    let place = format!("docs/src/{LESSON}:{}: ", line_of(&page, "<details"));
    let problems = fixture.problems();
    assert!(problems.contains(&format!("{place}question `q-11-1` has an empty answer")));
}

#[test]
fn an_answer_that_does_not_name_what_shows_it() {
    let page = lesson().replace("See `11/close`.", "Because.");
    let fixture = Fixture::new();
    fixture.lesson(&page);
    let line = line_of(&page, "<details");
    fixture.fails(&format!("src/{LESSON}:{line}"), "does not name `11/close`");
}

#[test]
fn a_question_that_is_not_closed() {
    let (fixture, _) = changed("</details>", "");
    let problems = fixture.problems();
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("not closed"))
    );
}

#[test]
fn a_question_that_the_course_does_not_ask() {
    let page =
        lesson() + "\n<details class=\"question\" id=\"q-11-9\"><summary>?</summary>x</details>\n";
    let fixture = Fixture::new();
    fixture.lesson(&page);
    let line = line_of(&page, "q-11-9");
    fixture.fails(&format!("src/{LESSON}:{line}"), "q-11-9");
}

#[test]
fn a_question_of_a_page_that_is_still_to_be_written() {
    let fixture = Fixture::new();
    fixture.write(
        "docs/questions.toml",
        "[[question]]\nid = \"q-12-1\"\npage = \"12-later.md\"\nasks = \"When?\"\n",
    );
    fixture
        .lesson("<!-- status: planned -->\n\n# A lesson\n\n{{#include lab/11-close.md:ladder}}\n");
    assert_eq!(fixture.problems(), [""; 0]);
}

#[test]
fn a_list_of_questions_that_is_wrong() {
    let fixture = Fixture::new();
    let one = "[[question]]\nid = \"q-11-1\"\npage = \"11-lesson.md\"\nasks = \"Why?\"\n";
    fixture.write("docs/questions.toml", &one.repeat(2));
    fixture.fails("questions.toml:6", "listed already, in line 2");
    fixture.write(
        "docs/questions.toml",
        &format!("{one}{}", one.replace("11", "40")),
    );
    fixture.fails("questions.toml:6", "no page 40-lesson.md");
    fixture.write(
        "docs/questions.toml",
        &format!("{one}answer = \"no such key\"\n"),
    );
    let problems = fixture.problems();
    assert!(
        problems[0].starts_with("docs/questions.toml:5: "),
        "{problems:#?}"
    );
}

#[test]
fn an_entry_without_its_page_and_a_page_without_its_entry() {
    let fixture = Fixture::new();
    fixture.remove("docs/src/12-later.md");
    fixture.fails("src/SUMMARY.md:5", "no such page: `12-later.md`");

    let fixture = Fixture::new();
    fixture.write("docs/src/more/extra.md", "# Extra\n");
    fixture.fails("src/more/extra.md:1", "not in SUMMARY.md");

    let fixture = Fixture::new();
    let twice = "- [Lesson](11-lesson.md)\n- [Terms](terms.md)\n- [Later](12-later.md)\n- [Again](terms.md)\n";
    fixture.write("docs/src/SUMMARY.md", twice);
    fixture.fails("src/SUMMARY.md:4", "listed already, in line 2");
}

#[test]
fn a_page_that_is_not_written_and_does_not_say_so() {
    let fixture = Fixture::new();
    let term = "<dfn id=\"rst\">RST</dfn>";
    fixture.write(
        "docs/src/terms.md",
        &format!("# Terms\n\n{term}. Not written yet.\n"),
    );
    fixture.fails("src/terms.md:3", "status: planned");
    fixture.write(
        "docs/src/terms.md",
        &format!("# Terms\n\n<!-- status: planned -->\n\n{term}\n"),
    );
    fixture.fails("src/terms.md:3", "on the first line");
}

#[test]
fn a_lesson_without_a_section_or_with_one_out_of_order() {
    let (fixture, _) = changed("## Predict", "");
    fixture.fails(&format!("src/{LESSON}:1"), "no section `Predict`");

    let page = lesson();
    let swapped = page
        .replace("## Predict", "## -")
        .replace("## Explain", "## Predict")
        .replace("## -", "## Explain");
    let fixture = Fixture::new();
    fixture.lesson(&swapped);
    let problems = fixture.problems();
    assert!(problems[0].contains("out of order"), "{problems:#?}");

    let (fixture, place) = changed("## Predict", "## Predict\n\n### In detail\n\n## More");
    let line: usize = place.rsplit(':').next().unwrap().parse().unwrap();
    fixture.fails(
        &format!("src/{LESSON}:{}", line + 4),
        "`More` is not a section",
    );
}

#[test]
fn a_page_with_two_titles_or_none_and_an_anchor_that_stands_twice() {
    let fixture = Fixture::new();
    fixture.write(
        "docs/src/terms.md",
        "# Terms\n\n# More\n\n<i id=\"rst\"></i>\n",
    );
    fixture.fails("src/terms.md:3", "second title");
    fixture.write("docs/src/terms.md", "<i id=\"rst\"></i>\n");
    fixture.fails("src/terms.md:1", "title");
    fixture.write(
        "docs/src/terms.md",
        "# T\n\n<i id=\"rst\"></i>\n\n<b id=\"rst\"></b>\n",
    );
    fixture.fails("src/terms.md:5", "stands twice");
}

#[test]
fn a_page_that_loads_something_from_the_network() {
    let (fixture, place) = changed(
        "[RST](terms.md#rst)",
        "<img src=\"https://example.org/x.png\">",
    );
    fixture.fails(&place, "on the network");
    let (fixture, place) = changed("An [RST](terms.md#rst).", "<script>x()</script>");
    fixture.fails(&place, "<script>");
}

#[test]
fn facts_that_are_missing_wrong_or_out_of_order() {
    let (fixture, _) = changed("class=\"facts\"", "");
    fixture.fails(&format!("src/{LESSON}:1"), "begins with its facts");
    for (from, to, fact) in [
        ("- **Minutes:** 5", "- **Minutes:** some", "fact 1"),
        (
            "- **Before this:** nothing",
            "- **Before this:** ",
            "fact 2",
        ),
        ("- **Man pages:** tcp(7)", "- **RFC:** 9293", "fact 3"),
        (
            "- **Before this:** nothing\n",
            "- **RFC:** 9293\n- **Before this:** nothing\n",
            "fact 2",
        ),
    ] {
        let page = lesson();
        assert!(page.contains(from), "{from}");
        let fixture = Fixture::new();
        fixture.lesson(&page.replace(from, to));
        let problems = fixture.problems();
        assert!(
            problems[0].starts_with("docs/src/11-lesson.md:3: "),
            "{problems:#?}"
        );
        assert!(problems[0].contains(fact), "{problems:#?}");
    }
    let (fixture, place) = changed("<div class=\"facts\">", "## More\n\n<div class=\"facts\">");
    let problems = fixture.problems();
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("before the first section")),
        "{place} {problems:#?}"
    );
}

#[test]
fn a_program_that_its_page_does_not_name() {
    let fixture = Fixture::new();
    fixture.write("README.md", &README.replace("`talk`", "`talk` `listen`"));
    fixture.fails(
        &format!("src/{LESSON}:1"),
        "`listen` of chap-11 is not named on its page",
    );
    // In the text it counts as well as in a command.
    fixture.lesson(&lesson().replace("An [RST]", "The program `listen`, an [RST]"));
    assert_eq!(fixture.problems(), [""; 0]);
}

#[test]
fn a_command_that_names_what_is_not_there() {
    for (command, what) in [
        (
            "cargo run -p chap-11 -- walk",
            "chap-11 has no program `walk`",
        ),
        ("cargo run -q -p chap-12 -- talk", "no package `chap-12`"),
        ("cargo test --package chap-12", "no package `chap-12`"),
        ("scripts/dance", "no `scripts/dance`"),
    ] {
        // The lesson's own command stays, so that its program is named.
        let page = lesson().replace(
            "## Explain\n",
            &format!("## Explain\n\n```sh\n{command}\n```\n"),
        );
        let fixture = Fixture::new();
        fixture.lesson(&page);
        fixture.fails(
            &format!("src/{LESSON}:{}", line_of(&page, command) - 1),
            what,
        );
    }
    for (name, what) in [
        ("chap-11 walk", "chap-11 has no program `walk`"),
        ("11/open", "no experiment `11/open`"),
        ("scripts/talk 11/open", "no experiment `11/open`"),
        ("cargo run -p lab -- run 11/open", "no package `lab`"),
    ] {
        let (fixture, place) = changed("An [RST]", &format!("`{name}` and an [RST]"));
        fixture.write("scripts/talk", "");
        fixture.fails(&place, what);
    }
    let (fixture, _) = changed(
        "An [RST]",
        "`chap-11 talk`, `chap-11 --help`, `scripts/talk 11/close`, `10.0.0.0/8` and an [RST]",
    );
    fixture.write("scripts/talk", "");
    assert_eq!(fixture.problems(), [""; 0]);
}

#[test]
fn an_experiment_that_no_page_shows() {
    let fixture = Fixture::new();
    fixture.write("docs/src/lab/11-shut-rd.md", RUN);
    fixture.write("README.md", &README.replace("| 1 |", "| 2 |"));
    fixture.fails("src/lab:1", "no page shows `11/shut-rd`");
}

#[test]
fn a_readme_that_says_what_is_not_so() {
    let fixture = Fixture::new();
    fixture.write("README.md", &README.replace("| 1 |", "| 2 |"));
    fixture.fails_at("README.md:5", "`chap-11` has 1 experiments");

    let row = "| `chap-11` a lesson | `talk` | 1 |\n";
    fixture.write("README.md", &README.replace(row, &row.repeat(2)));
    fixture.fails_at("README.md:6", "`chap-11` is listed twice");
    fixture.write(
        "README.md",
        &README.replace(row, &(row.to_owned() + &row.replace("11", "12"))),
    );
    fixture.fails_at("README.md:6", "`chap-12` is listed twice, or is no package");
    fixture.write("README.md", &README.replace(row, ""));
    let problems = fixture.problems();
    assert!(
        problems[0].starts_with("README.md:1: the table of lessons has no row for `chap-11`"),
        "{problems:#?}"
    );
}

#[test]
fn an_answer_that_is_shown_by_nothing() {
    let fixture = Fixture::new();
    let list = "[[question]]\nid = \"q-11-1\"\npage = \"11-lesson.md\"\nasks = \"Why?\"\nshown_by = [\"talk\", \"See\"]\n";
    fixture.lesson(&lesson().replace("See `11/close`", "See `talk`"));
    fixture.write("docs/questions.toml", list);
    fixture.fails("questions.toml:2", "shown by `See`, which is neither");
}

#[test]
fn a_chapter_without_programs() {
    let fixture = Fixture::new();
    let page = "# Later\n\n<div class=\"facts\">\n\n- **Minutes:** 5\n- **Before this:** nothing\n- **Man pages:** tcp(7)\n\n</div>\n";
    fixture.write("docs/src/12-later.md", page);
    let problems = fixture.problems();
    assert!(
        problems[0].starts_with("docs/src/12-later.md:1: a chapter without a directory"),
        "{problems:#?}"
    );
    fixture.write("README.md", &README.replace("1 and 9", "1, 9 and 12"));
    assert_eq!(fixture.problems(), [""; 0]);
}

#[test]
fn a_term_that_is_not_linked_where_it_is_first_used() {
    let fixture = Fixture::new();
    let glossary = "# Glossary\n\n<dfn id=\"fin\">FIN</dfn> (结束标志). x\n";
    fixture.write("docs/src/glossary.md", glossary);
    fixture.write(
        "docs/src/SUMMARY.md",
        "- [a](11-lesson.md)\n- [b](terms.md)\n- [c](12-later.md)\n- [d](glossary.md)\n",
    );
    let page = lesson().replace("An [RST]", "A FIN, an [RST]");
    fixture.lesson(&page);
    fixture.fails(
        &format!("src/{LESSON}:{}", line_of(&page, "A FIN")),
        "`FIN` is used here first",
    );
    fixture.lesson(&page.replace("A FIN", "A [FIN](glossary.md#fin)"));
    assert_eq!(fixture.problems(), [""; 0]);
    fixture.write("docs/src/glossary.md", &glossary.replace("结束标志", "end"));
    fixture.fails("src/glossary.md:3", "`FIN` has no Chinese name");
}

/// An entry of an exercise, with its answer.
const ENTRY: &str = "\
## Exercises

### Mend it

```sh
scripts/exercise 11/half-close
```

<details class=\"solution\">
<summary>A solution</summary>

```rust
{{#include ../../exercises/11-half-close/solution.rs:answer}}
```

</details>
";

/// A book with an exercise, and this on the lesson's page in place of its section "Exercises".
fn with_exercise(entry: &str) -> Fixture {
    let fixture = Fixture::new();
    let answer = "// ANCHOR: answer\nfn main() {}\n// ANCHOR_END: answer\n";
    for file in ["solution.rs", "exercise.rs"] {
        fixture.write(&format!("exercises/11-half-close/{file}"), answer);
    }
    fixture.write("exercises/Cargo.toml", "[package]\nname = \"exercises\"\n");
    fixture.write("scripts/exercise", "");
    fixture.lesson(&lesson().replace("## Exercises\n", entry));
    fixture
}

#[test]
fn an_exercise_has_an_entry_and_an_answer() {
    assert_eq!(with_exercise(ENTRY).problems(), [""; 0]);

    let line = line_of(&lesson(), "## Exercises");
    with_exercise("## Exercises\n").fails(
        &format!("src/{LESSON}:{line}"),
        "exercise `11/half-close` has no entry",
    );
    // An entry in another section is none.
    let elsewhere = ENTRY.replace("## Exercises", "## Exercises\n\n## Answers");
    let problems = with_exercise(&elsewhere).problems();
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("`11/half-close` has no entry")),
        "{problems:#?}"
    );
    let unanswered = &ENTRY[..ENTRY.find("<details").unwrap()];
    with_exercise(unanswered).fails(
        &format!("src/{LESSON}:{}", line + 4),
        "no answer below it that includes exercises/11-half-close/solution.rs",
    );
    let below_another = ENTRY.replace("<details", "### More\n\n<details");
    with_exercise(&below_another)
        .fails(&format!("src/{LESSON}:{}", line + 4), "no answer below it");
}

#[test]
fn an_answer_that_is_not_folded_away() {
    let open = ENTRY.replace("<details class=\"solution\">", "<details>");
    let line = line_of(&lesson().replace("## Exercises\n", &open), "solution.rs");
    with_exercise(&open).fails(
        &format!("src/{LESSON}:{line}"),
        "<details class=\"solution\">",
    );
    let scaffold = ENTRY.replace(
        "</details>",
        "```rust\n{{#include ../../exercises/11-half-close/exercise.rs}}\n```\n\n</details>",
    );
    let line = line_of(
        &lesson().replace("## Exercises\n", &scaffold),
        "exercise.rs",
    );
    with_exercise(&scaffold).fails(&format!("src/{LESSON}:{line}"), "its solution.rs only");
}

#[test]
fn an_exercise_that_is_not_there_or_belongs_elsewhere() {
    let fixture = with_exercise(ENTRY);
    fixture.remove("exercises/11-half-close/exercise.rs");
    fixture.fails_at(
        "exercises:1",
        "exercise `11/half-close` has no exercises/11-half-close/exercise.rs",
    );

    let more = format!("{ENTRY}\n```sh\nscripts/exercise 11/other\n```\n");
    let line = line_of(&lesson().replace("## Exercises\n", &more), "11/other") - 1;
    with_exercise(&more).fails(&format!("src/{LESSON}:{line}"), "no exercise `11/other`");

    let fixture = with_exercise(&format!("{ENTRY}\n```sh\nscripts/exercise 2/other\n```\n"));
    for file in ["solution.rs", "exercise.rs"] {
        fixture.write(&format!("exercises/02-other/{file}"), "");
    }
    fixture.fails(
        &format!("src/{LESSON}:{line}"),
        "exercise `2/other` belongs to another chapter",
    );
}

#[test]
fn a_quiz_is_named_on_its_page_and_nowhere_else() {
    let line = line_of(&lesson(), "## Predict");
    let place = format!("src/{LESSON}:{line}");
    let with_quiz = |predict: &str| {
        let fixture = Fixture::new();
        fixture.write("crates/lab/src/quiz/chap11.rs", "");
        fixture.write("crates/lab/src/quiz/mod.rs", "");
        fixture.write("scripts/quiz", "");
        fixture.lesson(&lesson().replace("## Predict\n", &format!("## Predict\n{predict}")));
        fixture
    };
    assert_eq!(with_quiz("\nOr: `scripts/quiz 11`.\n").problems(), [""; 0]);
    with_quiz("").fails(&place, "names the chapter's quiz once: `scripts/quiz 11`");
    with_quiz("\n`scripts/quiz 11` `scripts/quiz 11`\n").fails(&place, "once");

    let fixture = with_quiz("\n`scripts/quiz 11` `scripts/quiz 12`\n");
    fixture.fails(
        &format!("src/{LESSON}:{}", line + 2),
        "no quiz of chapter `12`",
    );
    fixture.write("crates/lab/src/quiz/chap12.rs", "");
    fixture.fails(
        &format!("src/{LESSON}:{}", line + 2),
        "quiz `12` belongs to another chapter",
    );
    let fixture = with_quiz("\n`scripts/quiz 11`\n");
    fixture.remove("crates/lab/src/quiz/chap11.rs");
    fixture.fails(
        &format!("src/{LESSON}:{}", line + 2),
        "no quiz of chapter `11`",
    );
}

/// The program lists what is wrong, builds nothing, and says so with its exit status.
#[test]
fn the_program_builds_nothing_from_a_book_that_is_wrong() {
    let (fixture, _) = changed("#rst", "#fin");
    for arguments in [&["--check"][..], &["--out", "out"]] {
        let output = fixture.run(arguments);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(
            complaint.contains("docs/src/11-lesson.md:13: link to `terms.md#fin`"),
            "{complaint}"
        );
        assert!(
            complaint.ends_with("Error: the book has 1 problem; nothing was built\n"),
            "{complaint}"
        );
        assert!(output.stdout.is_empty());
        assert!(!fixture.0.path().join("out").exists());
    }
}

#[test]
fn the_program_builds_where_it_is_told() {
    let fixture = Fixture::new();
    let output = fixture.run(&["--out", "out"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.starts_with(
            "3 pages, 1 still to be written; 1 of 1 question answered\nplanned: 12-later\n"
        ),
        "{said}"
    );
    let index = said.lines().last().unwrap();
    assert!(
        Path::new(index).is_absolute() && Path::new(index).is_file(),
        "{index}"
    );

    let page = fs::read_to_string(fixture.0.path().join("out/11-lesson.html")).unwrap();
    assert!(page.contains("<div class=\"source\">chapters/11-lesson/src/main.rs</div>"));
    assert!(page.contains("<code class=\"language-rust\">if true {\n    println!();\n}</code>"));
    // A browser's parser gives the names in an SVG their capitals back.
    assert!(page.contains("<svg viewbox=\"0 0 1 1\">\n    <path d=\"M0 0\" />\n</svg>"));
    assert!(page.contains("<svg viewbox=\"0 0 2 2\">\n    <path d=\"M1 1\" />\n</svg>"));
    assert!(page.contains("data1\n</code></pre>") || page.contains("data1</code></pre>"));

    // It may be built again in the same place, and not over anything else.
    assert!(fixture.run(&["--out", "out"]).status.success());
    for kept in ["chapters", ".", "docs/src"] {
        let output = fixture.run(&["--out", kept]);
        assert_eq!(output.status.code(), Some(1), "{kept}");
    }
    assert!(
        fixture
            .0
            .path()
            .join("chapters/11-lesson/src/main.rs")
            .is_file()
    );
    assert!(fixture.0.path().join("docs/src/11-lesson.md").is_file());
}

#[test]
fn checking_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let output = fixture.run(&["--check"]);
    assert!(output.status.success());
    let names = fs::read_dir(fixture.0.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names: HashSet<_> = names.collect();
    assert_eq!(
        names,
        HashSet::from(["docs".into(), "chapters".into(), "README.md".into()])
    );
}

#[test]
fn what_mdbook_warns_of_is_an_error() {
    let (fixture, _) = changed("An [RST](terms.md#rst).", "<div>An RST.");
    let output = fixture.run(&["--check"]);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        complaint.contains("unclosed HTML tag `<div>` found in `11-lesson.md`"),
        "{complaint}"
    );
}

#[test]
fn a_directory_without_a_book_is_named() {
    let fixture = Fixture::new();
    fixture.remove("docs/questions.toml");
    let output = fixture.run(&["--check"]);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        complaint.starts_with("Error: read ") && complaint.contains("questions.toml"),
        "{complaint}"
    );
}

/// The anchors that links are checked against are those that mdBook makes.
#[test]
fn anchors_are_those_of_the_rendered_page() {
    let fixture = Fixture::new();
    let page = "# Terms, `--all` & more\n\n<dfn id=\"rst\">RST</dfn>\n\n## Twice\n\n## Twice\n\n## 三次握手 {#hands}\n\n\
        ## a `b` *c*\nText.[^n]\n\nterm one\n: what it is\n\nTitle\nof two lines\n===\n\n[^n]: A note.\n";
    fixture.write("docs/src/terms.md", &page.replace("===", "---"));
    let book = book::check(&fixture.docs()).unwrap();
    assert_eq!(book.problems, []);
    let out = fixture.0.path().join("out");
    assert_eq!(book::render(&book, &out).unwrap(), [""; 0]);

    let rendered = fs::read_to_string(out.join("terms.html")).unwrap();
    let main = rendered
        .split_once("<main>")
        .unwrap()
        .1
        .split_once("</main>")
        .unwrap()
        .0;
    let ids: HashSet<_> = html::pieces(main)
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Tag(tag) => tag.attribute("id").map(str::to_owned),
            Piece::Text(_) => None,
        })
        .collect();
    assert!(ids.contains("twice-1") && ids.contains("hands"), "{ids:?}");
    assert_eq!(ids, book.pages[Path::new("terms.md")].anchors);
}

/// The page from which writers begin obeys the rules that they are told.
#[test]
fn the_template_passes() {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/template.md");
    let fixture = Fixture::new();
    fixture.lesson("<!-- status: planned -->\n\n# A lesson\n");
    fixture.write(
        "docs/src/05-read-write.md",
        "<!-- status: planned -->\n\n# R\n",
    );
    fixture.write(
        "docs/src/glossary.md",
        "# G\n\n<dfn id=\"half-close\">half-close</dfn> (半关闭). x\n",
    );
    fixture.write(
        "docs/src/11-close-shutdown.md",
        &fs::read_to_string(template).unwrap(),
    );
    fixture.write(
        "docs/src/SUMMARY.md",
        "- [a](11-lesson.md)\n- [b](terms.md)\n- [c](12-later.md)\n- [d](05-read-write.md)\n- [e](glossary.md)\n- \
         [f](11-close-shutdown.md)\n",
    );
    fixture.write(
        "docs/questions.toml",
        "[[question]]\nid = \"q-11-1\"\npage = \"11-close-shutdown.md\"\nasks = \"Why?\"\nshown_by = \
         [\"11/exit-sends-fin\"]\n",
    );
    let claims = "<!-- ANCHOR: claims -->\n- it holds\n<!-- ANCHOR_END: claims -->\n";
    let run = RUN.replace("server", "graceclient") + claims;
    fixture.write("docs/src/lab/11-close.md", &run);
    fixture.write("docs/src/lab/11-exit-sends-fin.md", &run);
    fixture.write(
        "docs/src/terms.md",
        "# Terms\n\n{{#include lab/11-exit-sends-fin.md:ladder}}\n",
    );
    fixture.write(
        "README.md",
        &README.replace("`talk` | 1", "`graceserver` | 2"),
    );
    fixture.write(
        "chapters/11-close-shutdown/Cargo.toml",
        "[package]\nname = \"chap-11\"\n",
    );
    fixture.remove("chapters/11-lesson/Cargo.toml");
    fixture.write(
        "chapters/11-close-shutdown/src/graceserver.rs",
        "// ANCHOR: answer\nx();\n// ANCHOR_END: answer\n",
    );
    assert_eq!(fixture.problems(), [""; 0]);
}
