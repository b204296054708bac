//! What the book and the README say of the lab and the lessons, compared with what is there. `scripts/book` checks the
//! pages among themselves, without a build; here the programs are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::experiments;
use lab::programs::{Programs, workspace};

/// The table in the README is what `scripts/book` takes for the list of programs.
#[test]
fn the_readme_lists_the_programs_that_the_lessons_have() {
    let readme = fs::read_to_string(workspace().join("README.md")).expect("there is a README");
    let listed: BTreeMap<&str, Vec<&str>> = readme.lines().filter_map(row).collect();
    assert!(!listed.is_empty(), "the README has a table of lessons");
    let packages: BTreeSet<String> = experiments::all().map(|one| one.package()).collect();
    let packages: Vec<String> = packages.into_iter().collect();
    assert_eq!(
        packages.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        listed.keys().copied().collect::<BTreeSet<_>>(),
    );
    let programs = Programs::build(&packages).expect("the lessons build");
    for (package, names) in listed {
        let path = programs.path(package).expect("it was built");
        assert_eq!(
            commands(&help(&path, &[])),
            names,
            "the programs of {package}"
        );
    }
}

/// The package and the programs in a row of the README's table of lessons.
fn row(line: &str) -> Option<(&str, Vec<&str>)> {
    let cells: Vec<_> = line
        .strip_prefix('|')?
        .strip_suffix('|')?
        .split('|')
        .collect();
    let [lesson, programs, _] = cells.as_slice() else {
        return None;
    };
    let package = lesson.trim().strip_prefix('`')?.split_once('`')?.0;
    Some((package, programs.split('`').skip(1).step_by(2).collect()))
}

/// What a program says of itself.
fn help(path: &Path, words: &[&str]) -> String {
    let output = Command::new(path).args(words).arg("--help").output();
    let output = output.expect("it starts");
    assert!(
        output.status.success(),
        "{} {words:?} --help",
        path.display()
    );
    String::from_utf8(output.stdout).expect("its help is text")
}

/// The commands in a program's help, in its order: clap indents them by two, and what they do by more.
fn commands(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let list = list.take_while(|line| !line.is_empty());
    let name = |line: &str| {
        let line = line
            .strip_prefix("  ")
            .filter(|line| !line.starts_with(' '))?;
        line.split_whitespace().next().map(str::to_owned)
    };
    list.filter_map(name)
        .filter(|name| name != "help")
        .collect()
}

/// What a page tells its reader to type has options that the program knows.
#[test]
fn the_commands_in_the_book_are_understood() {
    let mut typed = Vec::new();
    let pages = fs::read_dir(workspace().join("docs/src")).expect("the book has pages");
    let pages = pages.map(|page| page.expect("it can be listed").path());
    let readme = workspace().join("README.md");
    for page in pages.filter(|path| path.is_file()).chain([readme]) {
        let text = fs::read_to_string(&page).expect("a page is text");
        let lines = text.lines().filter(|line| line.starts_with("cargo run "));
        typed.extend(lines.map(|line| (page.clone(), line.to_owned())));
    }
    assert!(!typed.is_empty(), "the pages have commands to type");
    let packages: BTreeSet<String> = experiments::all().map(|one| one.package()).collect();
    let packages: Vec<String> = packages.into_iter().collect();
    let programs = Programs::build(&packages).expect("the lessons build");
    let mut wrong = Vec::new();
    for (page, line) in &typed {
        let (cargo, words) = line.split_once(" -- ").unwrap_or((line, ""));
        let package = cargo
            .split_whitespace()
            .skip_while(|word| *word != "-p")
            .nth(1);
        let package = package.expect("a command names its package");
        let path = match package {
            "lab" => PathBuf::from(env!("CARGO_BIN_EXE_lab")),
            package if packages.iter().any(|known| known == package) => {
                programs.path(package).expect("it was built")
            }
            _ => continue,
        };
        if let Err(what) = understood(&path, words) {
            wrong.push(format!("{}: {line}: {what}", page.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a program knows its command, and the command its options.
fn understood(path: &Path, words: &str) -> Result<(), String> {
    let words: Vec<&str> = words
        .split_whitespace()
        .take_while(|word| *word != "2>/dev/null")
        .collect();
    let mut depth = 0;
    let mut text = help(path, &[]);
    loop {
        let commands = commands(&text);
        match words.get(depth) {
            Some(word) if commands.iter().any(|command| command == word) => depth += 1,
            Some(word) if !commands.is_empty() && !word.starts_with('-') => {
                return Err(format!("no command `{word}`"));
            }
            _ => break,
        }
        text = help(path, &words[..depth]);
    }
    let known: BTreeSet<&str> = text
        .split(|c: char| c.is_whitespace() || ",[]=".contains(c))
        .filter(|word| word.starts_with('-'))
        .collect();
    for word in &words[depth..] {
        let option = word.split('=').next().unwrap_or_default();
        // -lp is -l and -p.
        let letters = option
            .strip_prefix('-')
            .filter(|rest| !rest.starts_with('-'));
        let parts: Vec<String> = match letters {
            Some(letters) => letters.chars().map(|letter| format!("-{letter}")).collect(),
            None => vec![option.to_owned()],
        };
        for option in parts.iter().filter(|part| part.starts_with('-')) {
            if option != "--help" && !known.contains(option.as_str()) {
                return Err(format!("no option `{option}`"));
            }
        }
    }
    Ok(())
}

#[test]
fn an_option_that_a_program_does_not_have_is_found_out() {
    let lab = Path::new(env!("CARGO_BIN_EXE_lab"));
    assert_eq!(understood(lab, "run 11/close --controls --json=x"), Ok(()));
    assert_eq!(
        understood(lab, "run 11/close --control"),
        Err("no option `--control`".into())
    );
    assert_eq!(understood(lab, "walk"), Err("no command `walk`".into()));
}

/// The files in `docs/src/lab` are what `scripts/book` takes for the list of experiments.
#[test]
fn the_book_has_a_file_for_each_experiment_and_no_other() {
    let known: BTreeSet<PathBuf> = experiments::all()
        .map(|experiment| lab::render::path(&workspace().join("docs"), experiment.id))
        .collect();
    let directory = workspace().join("docs/src/lab");
    let files = fs::read_dir(directory).expect("the lab has written files");
    let files: BTreeSet<PathBuf> = files
        .map(|file| file.expect("it can be listed").path())
        // The state diagram is of all experiments together.
        .filter(|file| *file != lab::states::path(&workspace().join("docs")))
        .collect();
    let surplus: Vec<_> = files.difference(&known).collect();
    let missing: Vec<_> = known.difference(&files).collect();
    assert!(
        surplus.is_empty(),
        "no experiment has these files: {surplus:?}"
    );
    assert!(
        missing.is_empty(),
        "`lab render` has not written these: {missing:?}"
    );
}
