//! `cryptools`: the original's tool with its texts (common.md 2.6).

use bcs_common::secret;

const USAGE: &str = "\
command line arguments lost!
try:
    cryptool decrypt [string]
    cryptool encrypt [string]
";

/// What it prints for these arguments.
pub fn answer(args: &[String]) -> String {
    let [action, text] = args else { return USAGE.to_owned() };
    match action.as_str() {
        "encrypt" => match secret::encrypt(text) {
            Ok(value) => format!("Encrypt text: {value}\n"),
            Err(error) => format!("encrypt from original failed: {error}\n"),
        },
        "decrypt" => match secret::decrypt(text) {
            Ok(original) => format!("Original text: {original}\n"),
            Err(error) => format!("Decrypt from Base failed: {error}\n"),
        },
        _ => "Unkown action...\n".to_owned(),
    }
}
