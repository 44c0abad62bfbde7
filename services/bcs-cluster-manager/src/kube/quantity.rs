//! Kubernetes quantities: `2`, `1500m`, `20Gi`, `1e3`; exact to a billionth. They are written in their canonical form,
//! or as they were read where Kubernetes takes that for canonical.

use serde_json::Value;

/// Parts of one that are told apart; smaller ones are rounded up, as Kubernetes does.
const NANOS: i128 = 1_000_000_000;
/// The greatest one with a binary suffix; whatever is greater counts as this.
const GREATEST: i128 = i64::MAX as i128;
/// The most digits of a number whose text is kept.
const DIGITS: usize = 18;

/// A quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quantity {
    nanos: i128,
    format: Format,
    /// Its text, if that is kept.
    written: Option<String>,
}

/// What a quantity is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `m`, `k`, `M`, …
    Decimal,
    /// `e3`
    Exponent,
    /// `Ki`, `Mi`, …
    Binary,
}

impl Quantity {
    /// A quantity in JSON: a string, or a number.
    ///
    /// # Errors
    /// The words of Kubernetes.
    pub(crate) fn of(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::parse(text.trim()),
            Value::Number(number) => Self::parse(&number.to_string()),
            Value::Null => Ok(Self { nanos: 0, format: Format::Decimal, written: None }),
            _ => Err(refusal()),
        }
    }

    /// Reads the text of one. Digits may be missing: `k` is nothing, a thousand times.
    ///
    /// # Errors
    /// The words of Kubernetes.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (negative, rest) = match text.as_bytes().first() {
            None => return Err(refusal()),
            Some(b'-') => (true, text.get(1..)),
            Some(b'+') => (false, text.get(1..)),
            Some(_) => (false, Some(text)),
        };
        let rest = rest.unwrap_or_default();
        let length = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (number, suffix) = rest.split_at(length);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') {
            return Err(refusal());
        }
        let (base, exponent, format) = factor(suffix).ok_or_else(refusal)?;
        let whole = whole.trim_start_matches('0');
        let digits = format!("{whole}{fraction}");
        let kept = is_canonical(whole, fraction, exponent, format);
        let magnitude = nanos(digits.trim_start_matches('0'), fraction.len(), base, exponent);
        let greatest = if format == Format::Binary { GREATEST * NANOS } else { i128::MAX };
        let (written, magnitude) = match magnitude {
            Some(magnitude) => (kept, magnitude.min(greatest)),
            None => (format != Format::Binary, greatest),
        };
        let written = written.then(|| text.to_owned());
        Ok(Self { nanos: if negative { -magnitude } else { magnitude }, format, written })
    }

    /// Its value.
    #[allow(clippy::cast_precision_loss, reason = "only compared with others, as rates")]
    pub(crate) fn value(&self) -> f64 {
        self.nanos as f64 / NANOS as f64
    }

    /// How it is written: as it was read, else without a fraction and with the greatest suffix that keeps it whole.
    pub(crate) fn text(&self) -> String {
        if let Some(written) = &self.written {
            return written.clone();
        }
        let (nanos, format) = (self.nanos, self.format);
        if nanos == 0 {
            return "0".to_owned();
        }
        if format == Format::Binary && nanos % NANOS == 0 && (nanos / NANOS).abs() >= 1024 {
            let suffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
            return with_suffix(nanos / NANOS, 1024, &suffixes);
        }
        let suffixes = match format {
            Format::Exponent => ["e-9", "e-6", "e-3", "", "e3", "e6", "e9", "e12", "e15", "e18"],
            Format::Decimal | Format::Binary => ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"],
        };
        with_suffix(nanos, 1000, &suffixes)
    }
}

fn with_suffix(mut number: i128, step: i128, suffixes: &[&str]) -> String {
    let mut suffixes = suffixes.iter();
    let mut suffix = suffixes.next();
    while number % step == 0
        && let Some(next) = suffixes.next()
    {
        number /= step;
        suffix = Some(next);
    }
    format!("{number}{}", suffix.unwrap_or(&""))
}

/// Whether Kubernetes takes a number for canonical: of few enough digits, and by its looks without a greater suffix.
fn is_canonical(whole: &str, fraction: &str, exponent: i32, format: Format) -> bool {
    let whole = if whole.is_empty() { "0" } else { whole };
    match format {
        Format::Decimal | Format::Exponent => {
            let fraction_digits = i32::try_from(fraction.len()).unwrap_or(i32::MAX);
            let scale = exponent.saturating_sub(fraction_digits);
            let last = if fraction.len() < 3 { format!("{whole}{fraction}") } else { fraction.to_owned() };
            whole.len() + fraction.len() <= DIGITS
                && scale >= -9
                && scale % 3 == 0
                && !whole.starts_with('0')
                && !last.ends_with("000")
        }
        Format::Binary => {
            let few = usize::try_from(exponent * 3 / 10).is_ok_and(|more| whole.len() + more < 15);
            fraction.is_empty() && few && whole.parse().is_ok_and(|value: u64| !value.is_multiple_of(8))
        }
    }
}

/// What a suffix multiplies with: a base and its exponent.
fn factor(suffix: &str) -> Option<(i128, i32, Format)> {
    let decimal = |exponent| Some((10, exponent, Format::Decimal));
    let binary = |exponent| Some((2, exponent, Format::Binary));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        exponent => {
            let power = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            Some((10, power, Format::Exponent))
        }
    }
}

/// `digits` with so many of them behind the point, times a power, in billionths, rounded up. None: too great.
fn nanos(digits: &str, fraction: usize, base: i128, exponent: i32) -> Option<i128> {
    if digits.is_empty() {
        return Some(0);
    }
    // All powers of ten together: those of the number, of its suffix, and of a billionth.
    let decimal = if base == 10 { i64::from(exponent) } else { 0 };
    let shift = decimal + 9 - i64::try_from(fraction).ok()?;
    if shift < -i64::try_from(digits.len()).ok()? {
        return Some(1);
    }
    let mantissa: i128 = digits.parse().ok()?;
    let mantissa =
        if base == 2 { mantissa.checked_mul(1_i128.checked_shl(exponent.unsigned_abs())?)? } else { mantissa };
    let power = 10_i128.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?)?;
    if shift >= 0 { mantissa.checked_mul(power) } else { Some(mantissa / power + i128::from(mantissa % power != 0)) }
}

fn refusal() -> String {
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_of_every_form() {
        for (text, value, written) in [
            ("2", 2.0, "2"),
            ("0", 0.0, "0"),
            ("1000m", 1.0, "1"),
            ("1.5", 1.5, "1500m"),
            ("+0.5", 0.5, "500m"),
            (".5", 0.5, "500m"),
            ("5.", 5.0, "5."),
            ("-1", -1.0, "-1"),
            ("0920M", 9.2e8, "0920M"),
            ("20Gi", 20.0 * 1024.0 * 1024.0 * 1024.0, "20Gi"),
            ("1024Mi", 1024.0 * 1024.0 * 1024.0, "1Gi"),
            ("12e2", 1200.0, "1200"),
            ("2E-2", 0.02, "20e-3"),
            ("1E", 1e18, "1E"),
            ("k", 0.0, "0"),
            ("1000", 1000.0, "1k"),
            ("1024", 1024.0, "1024"),
            ("+22.252T", 22.252e12, "+22.252T"),
            ("0.200T", 2e11, "200G"),
            ("-", 0.0, "0"),
            ("0.000Gi", 0.0, "0"),
            ("2.5Gi", 2.5 * 1024.0 * 1024.0 * 1024.0, "2560Mi"),
            ("0.5Ki", 512.0, "512"),
            (".001Ki", 1.024, "1024m"),
            (".000001Ki", 0.001_024, "1024u"),
            ("0.0000000001", 1e-9, "1n"),
            ("1e-20", 1e-9, "1e-9"),
            ("1234567890123456789k", 1.234_567_890_123_456_8e21, "1234567890123456789k"),
            ("1000000000000000000000", 1e21, "1000E"),
            ("-0000000000000000001000000000000000000.0", -1e18, "-1E"),
            ("10Ei", 9_223_372_036_854_775_807.0, "9223372036854775807"),
        ] {
            let quantity = Quantity::parse(text).unwrap();
            assert!((quantity.value() - value).abs() <= value.abs() * 1e-12, "{text}: {}", quantity.value());
            assert_eq!(quantity.text(), written, "{text}");
        }
        assert_eq!(Quantity::parse("1e99").unwrap().text(), "1e99");
        assert_eq!(Quantity::of(&json!(1)).unwrap().text(), "1");
        assert_eq!(Quantity::of(&json!(0.25)).unwrap().text(), "250m");
        assert_eq!(Quantity::of(&json!(" 1 ")).unwrap().text(), "1");
        assert_eq!(Quantity::of(&Value::Null).unwrap().text(), "0");
        for bad in
            [json!(""), json!("x"), json!("1x"), json!("1 1"), json!("1e"), json!("1.2.3"), json!(true), json!([])]
        {
            assert_eq!(Quantity::of(&bad), Err(refusal()), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_the_same_quantity(text in "[-+]?[0-9]{0,12}[.]?[0-9]{0,12}(m|k|M|Ki|Gi|e3|E-3|)") {
            if let Ok(quantity) = Quantity::parse(&text) {
                let again = Quantity::parse(&quantity.text()).unwrap();
                prop_assert_eq!(again.nanos, quantity.nanos);
                prop_assert_eq!(again.text(), quantity.text());
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+.0-9a-zA-Z ]{0,40}") {
            let _ = Quantity::parse(&text);
        }
    }
}
