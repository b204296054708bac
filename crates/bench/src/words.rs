//! Numbers in words, for the terminal's tables, the book's and the plots alike.

/// Three digits that matter: `0.312`, `8.55`, `97.1`, `1 240`.
pub fn number(value: f64) -> String {
    // Rounding may bring another digit: 9.996 is 10.0.
    let rounded = |digits: i32| {
        let scale = 10f64.powi(digits);
        (value * scale).round() / scale
    };
    match value.abs() {
        0.0 => "0".to_owned(),
        _ if rounded(3).abs() < 1.0 => format!("{value:.3}"),
        _ if rounded(2).abs() < 10.0 => format!("{value:.2}"),
        _ if rounded(1).abs() < 100.0 => format!("{value:.1}"),
        _ => grouped(value),
    }
}

/// A whole number with a space before each three digits: `12 345`.
pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut words = String::from(if value <= -0.5 { "-" } else { "" });
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            words.push(' ');
        }
        words.push(digit);
    }
    words
}

/// A time of so many nanoseconds: `590 ns`, `8.55 µs`, `33.1 ms`, `1.20 s`.
pub fn time(nanoseconds: f64) -> String {
    let (scale, unit) = match nanoseconds.abs() {
        ns if ns < 999.5 => return format!("{nanoseconds:.0} ns"),
        ns if ns < 999.5e3 => (1e3, "µs"),
        ns if ns < 999.5e6 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    format!("{} {unit}", number(nanoseconds / scale))
}

/// So many bytes: `512 B`, `20.0 KiB`, `1.50 MiB`.
pub fn bytes(count: f64) -> String {
    let (scale, unit) = match count.abs() {
        bytes if bytes < 1024.0 => return format!("{count:.0} B"),
        bytes if bytes < 1024.0 * 1024.0 => (1024.0, "KiB"),
        bytes if bytes < 1024.0 * 1024.0 * 1024.0 => (1024.0 * 1024.0, "MiB"),
        _ => (1024.0 * 1024.0 * 1024.0, "GiB"),
    };
    format!("{} {unit}", number(count / scale))
}

/// The same without zeros that say nothing, for the round numbers at an axis: `5 µs`, `1.5 ms`, `0`.
pub fn round_time(nanoseconds: f64) -> String {
    match nanoseconds {
        0.0 => "0".to_owned(),
        _ => without_zeros(&time(nanoseconds)),
    }
}

/// Sizes as people choose them: `64 B`, `1 KiB`, `16 KiB`.
pub fn round_bytes(count: f64) -> String {
    without_zeros(&bytes(count))
}

/// Powers of ten at an axis: `100 B`, `10 kB`.
pub fn decimal_bytes(count: f64) -> String {
    match count {
        1000.0.. => format!("{} kB", grouped(count / 1000.0)),
        _ => whole_bytes(count),
    }
}

fn without_zeros(words: &str) -> String {
    let (digits, unit) = words.split_once(' ').unwrap_or((words, ""));
    match digits.contains('.') {
        true => format!(
            "{} {unit}",
            digits.trim_end_matches('0').trim_end_matches('.')
        ),
        false => words.to_owned(),
    }
}

/// So many bytes, to the byte: `9 875 B`.
pub fn whole_bytes(count: f64) -> String {
    format!("{} B", grouped(count))
}

/// A multiple: `1.04`, `14.1`.
pub fn ratio(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2}")
    } else {
        number(value)
    }
}

/// A part of a whole: `1.2 %`.
pub fn percent(value: f64) -> String {
    format!("{value:.1} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let words = [0.0, 0.3125, 0.9996, 1.0, 9.996, 33.14, 99.96, 1239.6, 1e6].map(number);
        assert_eq!(
            words,
            [
                "0",
                "0.312",
                "1.00",
                "1.00",
                "10.0",
                "33.1",
                "100",
                "1 240",
                "1 000 000"
            ]
        );
        assert_eq!(number(-2.5), "-2.50");
    }

    #[test]
    fn times_and_sizes_have_a_unit_that_fits() {
        let words = [0.0, 590.0, 999.6, 8_550.0, 33_140_000.0, 1.2e9].map(time);
        assert_eq!(
            words,
            ["0 ns", "590 ns", "1.00 µs", "8.55 µs", "33.1 ms", "1.20 s"]
        );
        let words = [0.0, 5_000.0, 1_500_000.0, 10_000_000.0].map(round_time);
        assert_eq!(words, ["0", "5 µs", "1.5 ms", "10 ms"]);
        let words = [64.0, 1024.0, 65_536.0].map(round_bytes);
        assert_eq!(words, ["64 B", "1 KiB", "64 KiB"]);
        let words = [1.0, 100.0, 1e3, 1e5].map(decimal_bytes);
        assert_eq!(words, ["1 B", "100 B", "1 kB", "100 kB"]);
        let words = [0.4, 512.0, 20_051.0, 1.5 * 1024.0 * 1024.0].map(bytes);
        assert_eq!(words, ["0 B", "512 B", "19.6 KiB", "1.50 MiB"]);
    }
}
