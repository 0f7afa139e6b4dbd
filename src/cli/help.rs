//! Help in English, shell completions, man pages, the configuration example.

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory, Subcommand};

use super::{Cli, Context};
use crate::error::{Error, Result};

/// English help: "path of the command", or "path of the command --argument", to text. A test holds it against the
/// command line, so nothing is left untranslated.
const ENGLISH: &str = include_str!("help_en.toml");

/// The command line with its help in English.
pub fn english(command: Command) -> Command {
    let texts: toml::Table = ENGLISH.parse().unwrap_or_default();
    translate(command, "domovoi", &texts)
}

fn translate(mut command: Command, path: &str, texts: &toml::Table) -> Command {
    let text = |key: &str| texts.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    if let Some(about) = text(path) {
        command = command.about(about);
    }
    let args: Vec<String> = command.get_arguments().map(|a| a.get_id().to_string()).collect();
    for id in args {
        if let Some(help) = text(&format!("{path} --{id}")).or_else(|| text(&format!("--{id}"))) {
            command = command.mut_arg(id, |a| a.help(help));
        }
    }
    let subcommands: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    for name in subcommands {
        let path = format!("{path} {name}");
        command = command.mut_subcommand(name, |c| translate(c, &path, texts));
    }
    command
}

/// Settings.
#[derive(Debug, Args)]
pub struct ConfigCommand {
    #[command(subcommand)]
    what: ConfigWhat,
}

#[derive(Debug, Subcommand)]
enum ConfigWhat {
    #[command(about = "Напечатать пример с пояснениями")]
    Example,
}

impl ConfigCommand {
    /// Prints the example.
    pub fn run(&self, context: &Context) -> Result<()> {
        let ConfigWhat::Example = self.what;
        context.out.line(crate::node::config::Config::example().trim_end());
        Ok(())
    }
}

/// Shell completions.
#[derive(Debug, Args)]
pub struct Completions {
    #[arg(help = "Оболочка: bash, zsh, fish, …")]
    shell: clap_complete::Shell,
}

impl Completions {
    /// Prints the completion script.
    pub fn run(&self, context: &Context) -> Result<()> {
        // clap_complete panics where it cannot write, as into a pipe whose reader has seen enough.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "domovoi", &mut script);
        context.out.line(String::from_utf8_lossy(&script).trim_end());
        Ok(())
    }
}

/// Man pages.
#[derive(Debug, Args)]
pub struct Man {
    #[arg(help = "Каталог, куда записать страницы")]
    folder: PathBuf,
}

impl Man {
    /// Writes one page per command.
    pub fn run(&self, context: &Context) -> Result<()> {
        let io = |e: std::io::Error| {
            Error::refuse("man.write", format!("{}: {e}", self.folder.display()), "choose a folder that can be written")
        };
        std::fs::create_dir_all(&self.folder).map_err(io)?;
        clap_mangen::generate_to(Cli::command(), &self.folder).map_err(io)?;
        context.out.line(&self.folder.display().to_string());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(command: &Command, path: &str, texts: &toml::Table, out: &mut Vec<String>) {
        if !texts.contains_key(path) {
            out.push(path.to_owned());
        }
        for arg in command.get_arguments() {
            let key = format!("{path} --{}", arg.get_id());
            let common = format!("--{}", arg.get_id());
            if !texts.contains_key(&key) && !texts.contains_key(&common) {
                out.push(key);
            }
        }
        for sub in command.get_subcommands() {
            missing(sub, &format!("{path} {}", sub.get_name()), texts, out);
        }
    }

    #[test]
    fn every_help_text_has_an_english_one() {
        let texts: toml::Table = ENGLISH.parse().expect("help_en.toml is TOML");
        let mut out = Vec::new();
        missing(&Cli::command(), "domovoi", &texts, &mut out);
        assert!(out.is_empty(), "no English help for:\n{}", out.join("\n"));
    }
}
