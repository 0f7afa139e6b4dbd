//! The command line: one file per command, thin. A command reads its arguments, asks a node over HTTP (or opens a log
//! directory), and prints: a table or sentences for people, `--json` for programs, and what to do next.
//!
//! Everything that needs a node talks to it over its public API, also on the node's own machine: one way in, the same
//! checks for everybody. Only `init`, `serve`, `fsck`, `reindex`, `backup`, `restore`, `inspect` and `charter` work on files.

pub mod api;
pub mod charter;
mod charter_new;
mod charter_words;
mod cosigning;
pub mod dossier;
pub mod drafts;
pub mod evidence;
pub mod export;
pub mod federation;
pub mod files;
pub mod follow;
pub mod help;
pub mod import;
pub mod init;
pub mod inspect;
pub mod key;
pub mod output;
pub mod poster;
mod private;
pub mod prove;
pub mod record;
pub mod repair;
pub mod report;
pub mod restore;
pub mod search;
pub mod serve;
pub mod show;
mod source;
pub mod transfer;
pub mod undo;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::error::{Error, Result};
use output::Output;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "domovoi", version, about = "Реестр официальных чатов домов", disable_help_subcommand = true)]
pub struct Cli {
    /// Options every command takes.
    #[command(flatten)]
    pub common: Common,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options every command takes.
#[derive(Debug, Args, Clone)]
pub struct Common {
    /// Data directory.
    #[arg(long, global = true, env = "DOMOVOI_DATA", default_value = "domovoi-data", help = "Каталог данных узла")]
    pub data: PathBuf,
    /// Configuration file.
    #[arg(
        long,
        global = true,
        env = "DOMOVOI_CONFIG",
        help = "Файл настроек (по умолчанию domovoi.toml в каталоге данных)"
    )]
    pub config: Option<PathBuf>,
    /// Configuration override.
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE", help = "Изменить одну настройку")]
    pub sets: Vec<String>,
    /// The node to talk to.
    #[arg(long, global = true, env = "DOMOVOI_NODE", help = "Адрес узла (по умолчанию — из настроек)")]
    pub node: Option<String>,
    /// PEM of a development certificate.
    #[arg(long, global = true, env = "DOMOVOI_CA", help = "Файл PEM, которому доверять (сертификат для разработки)")]
    pub ca: Option<PathBuf>,
    /// Machine-readable output.
    #[arg(long, global = true, help = "Вывод в JSON")]
    pub json: bool,
    /// Language.
    #[arg(long, global = true, env = "DOMOVOI_LANG", default_value = "ru", value_parser = ["ru", "en"], help = "Язык: ru или en")]
    pub lang: String,
}

/// Commands.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Command {
    #[command(about = "Создать узел: ключи, регион, орган, устав")]
    Init(init::Init),
    #[command(about = "Запустить узел")]
    Serve(serve::Serve),
    #[command(about = "Загрузить дома, чаты или управление из таблицы", subcommand)]
    Import(import::Import),
    #[command(about = "Ключи: создать, показать", subcommand)]
    Key(key::Key),
    #[command(about = "Внести одну запись любого типа")]
    Record(record::RecordCommand),
    #[command(about = "Подписать запись из файла (в том числе на машине без сети)")]
    Sign(record::Sign),
    #[command(about = "Подать подписанные записи")]
    Submit(record::Submit),
    #[command(about = "Передать чат другому региону: предложить, принять, отклонить, завершить", subcommand)]
    Transfer(transfer::Transfer),
    #[command(about = "Отменить партию записей")]
    Undo(undo::Undo),
    #[command(about = "Показать чат, дом, орган, организацию или историю", subcommand)]
    Show(show::Show),
    #[command(about = "Найти дом по адресу")]
    Search(search::Search),
    #[command(about = "Проверить ссылку или чат; файл с доказательством или досье — без сети")]
    Verify(show::Verify),
    #[command(about = "Получить доказательство статуса: файл, который проверяется без сети")]
    Prove(prove::Prove),
    #[command(about = "Получить досье чата на день: подписанный архив для проверяющего или суда")]
    Dossier(dossier::DossierCommand),
    #[command(about = "Плакат официального чата для подъезда (PDF A4); по таблице — для всех домов")]
    Poster(poster::PosterArgs),
    #[command(about = "Отчёты", subcommand)]
    Report(report::Report),
    #[command(about = "Выгрузить данные", subcommand)]
    Export(export::Export),
    #[command(about = "Следить за журналом другого узла; без адреса — показать состояние")]
    Follow(follow::Follow),
    #[command(about = "Устав федерации: составить, подписать, соединить, ввести в действие, показать", subcommand)]
    Charter(charter::Charter),
    #[command(about = "Журнал федерации: основать, изменить устав", subcommand)]
    Federation(federation::Federation),
    #[command(
        about = "Свидетельства против журналов: перечислить, показать, проверить без сети, сохранить",
        subcommand
    )]
    Evidence(evidence::Evidence),
    #[command(about = "Полностью проверить журнал: каталог или адрес узла")]
    Fsck(files::Fsck),
    #[command(about = "Построить индекс заново по журналу")]
    Reindex(files::Reindex),
    #[command(about = "Снять копию работающего узла")]
    Backup(files::Backup),
    #[command(about = "Восстановить узел из копии или по копиям журнала у других узлов")]
    Restore(restore::Restore),
    #[command(about = "Показать любой подписанный файл в читаемом виде")]
    Inspect(inspect::Inspect),
    #[command(about = "Настройки: пример файла")]
    Config(help::ConfigCommand),
    #[command(about = "Дополнения для оболочки")]
    Completions(help::Completions),
    #[command(about = "Страницы справочника man")]
    Man(help::Man),
}

/// What a command works with.
pub struct Context {
    /// Common options.
    pub common: Common,
    /// Where results go.
    pub out: Output,
}

impl Context {
    /// The configuration: `--config`, else `domovoi.toml` in the data directory, else defaults.
    pub fn config(&self) -> Result<crate::node::config::Config> {
        let own = self.common.data.join("domovoi.toml");
        let file = self.common.config.clone().or_else(|| own.exists().then_some(own));
        let environment = crate::node::config::Config::environment()?;
        // Options of the command line itself are not settings of the node.
        let settings: Vec<_> = environment.into_iter().filter(|(k, _)| k.contains("__")).collect();
        let mut sets = self.common.sets.clone();
        if file.is_none() {
            sets.push(format!("node.data_dir={}", self.common.data.display()));
        }
        crate::node::config::Config::load(file.as_deref(), &settings, &sets)
    }
}

/// Runs the command line; the exit code is 0, or 1 after an error, or 2 after wrong arguments.
pub fn run() -> i32 {
    let english = std::env::args().any(|a| a == "--lang=en")
        || std::env::args().collect::<Vec<_>>().windows(2).any(|w| w[0] == "--lang" && w[1] == "en")
        || std::env::var("DOMOVOI_LANG").is_ok_and(|l| l == "en");
    let command = if english { help::english(Cli::command()) } else { Cli::command() };
    let matches = match command.try_get_matches() {
        Ok(m) => m,
        Err(e) => {
            // A broken pipe while printing help is nobody's error.
            let _ = e.print();
            return e.exit_code();
        }
    };
    let cli = match <Cli as clap::FromArgMatches>::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return 2;
        }
    };
    // The only place that installs the TLS provider; a second call finds it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let out = Output::new(cli.common.json, cli.common.lang == "en");
    let context = Context { common: cli.common, out };
    let result = match cli.command {
        Command::Init(c) => c.run(&context),
        Command::Serve(c) => c.run(&context),
        Command::Import(c) => c.run(&context),
        Command::Key(c) => c.run(&context),
        Command::Record(c) => c.run(&context),
        Command::Sign(c) => c.run(&context),
        Command::Submit(c) => c.run(&context),
        Command::Transfer(c) => c.run(&context),
        Command::Undo(c) => c.run(&context),
        Command::Show(c) => c.run(&context),
        Command::Search(c) => c.run(&context),
        Command::Verify(c) => c.run(&context),
        Command::Prove(c) => c.run(&context),
        Command::Dossier(c) => c.run(&context),
        Command::Poster(c) => c.run(&context),
        Command::Report(c) => c.run(&context),
        Command::Export(c) => c.run(&context),
        Command::Follow(c) => c.run(&context),
        Command::Charter(c) => c.run(&context),
        Command::Federation(c) => c.run(&context),
        Command::Evidence(c) => c.run(&context),
        Command::Fsck(c) => c.run(&context),
        Command::Reindex(c) => c.run(&context),
        Command::Backup(c) => c.run(&context),
        Command::Restore(c) => c.run(&context),
        Command::Inspect(c) => c.run(&context),
        Command::Config(c) => c.run(&context),
        Command::Completions(c) => c.run(&context),
        Command::Man(c) => c.run(&context),
    };
    match result {
        Ok(()) => 0,
        Err(e) => {
            context.out.error(&e);
            1
        }
    }
}

/// Reads a passphrase: `DOMOVOI_PASSPHRASE`, the configured file, or the terminal.
pub fn passphrase(context: &Context, prompt: bool) -> Result<secrecy::SecretString> {
    if let Some(found) = context.config()?.passphrase()? {
        return Ok(found);
    }
    let missing = || {
        Error::refuse(
            "key.passphrase",
            "no passphrase was given",
            "set DOMOVOI_PASSPHRASE, or passphrase_file in domovoi.toml",
        )
    };
    if !prompt {
        return Err(missing());
    }
    rpassword::prompt_password(context.out.say("Пароль от ключей: ", "Passphrase of the keys: "))
        .map(Into::into)
        .map_err(|_| missing())
}
