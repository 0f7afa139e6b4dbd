//! The node's configuration: one TOML file, environment variables over it, `--set` options over both.
//!
//! The settings are declared once, below; structs, defaults, checks and the annotated example
//! (`config/domovoi.example.toml`) are made from that declaration (see [`schema`]). A value is checked the same way
//! wherever it comes from ([`layers`]). A configuration that could put the node's traffic on the network unencrypted
//! is refused, not corrected. Secrets are never in it: the passphrase comes from `DOMOVOI_PASSPHRASE` or from a file.

pub mod layers;
pub mod ranges;
pub mod schema;

use std::collections::HashSet;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::tlog::cosignature::CosignerKey;
use crate::tlog::note::VerifierKey;
use ranges::AddressRange;
use schema::{Apply, Field, Kind, Section, section};

section! { NodeSection "node" false,
    "Сам узел.", "The node itself.";
    data_dir: PathBuf = ".".into(), Kind::Path, Restart, "",
        "Каталог данных (журнал, ключи, индекс, зеркала); если не задан, тот, где лежит этот файл.",
        "Data directory (log, keys, index, mirrors); unless given, the one this file is in.";
    public_url: Option<String> = None, Kind::Text, Live, "\"https://chats.example.ru\"",
        "Адрес, по которому узел виден снаружи.",
        "URL under which others reach this node.";
    passphrase_file: Option<PathBuf> = None, Kind::Path, Restart, "\"passphrase\"",
        "Файл с паролем от ключей (права 600), если пароль не в переменной DOMOVOI_PASSPHRASE.",
        "File with the passphrase of the keys (mode 600), unless it is in the variable DOMOVOI_PASSPHRASE.";
}

section! { HttpSection "http" false,
    "Приём соединений.", "Accepting connections.";
    listen: Vec<SocketAddr> = vec![SocketAddr::from(([127, 0, 0, 1], 8443))], Kind::Texts, Restart, "",
        "Адреса и порты; порт 0 означает любой свободный.",
        "Addresses and ports; port 0 means any free one.";
    plain_http: bool = false, Kind::Bool, Restart, "",
        "Без шифрования: только на loopback или за названным обратным прокси (behind_proxy).",
        "Without encryption: only on loopback, or behind a named reverse proxy (behind_proxy).";
    behind_proxy: Option<String> = None, Kind::Text, Restart, "\"nginx/10.0.0.5\"",
        "Обратный прокси «имя/IP»; открытый HTTP принимается только от него и с loopback.",
        "Reverse proxy as \"name/IP\"; plain HTTP is accepted from it and from loopback only.";
    metrics: String = "loopback".into(), Kind::Choice(&["loopback", "any", "off"]), Live, "",
        "Кому отвечает /metrics: только loopback без прокси, всем, никому.",
        "Whom /metrics answers: loopback not through a proxy, anybody, nobody.";
}

section! { TlsSection "tls" false,
    "Сертификат HTTPS. Без него при первом запуске создаётся сертификат для разработки в <data_dir>/tls.",
    "HTTPS certificate. Without one, a development certificate is made in <data_dir>/tls on the first run.";
    certificate: Option<PathBuf> = None, Kind::Path, Live, "\"tls/fullchain.pem\"",
        "Цепочка сертификатов PEM, свой первым.",
        "Certificate chain in PEM, own certificate first.";
    private_key: Option<PathBuf> = None, Kind::Path, Live, "\"tls/privkey.pem\"",
        "Закрытый ключ PEM (PKCS#8, PKCS#1 или SEC1), не зашифрованный.",
        "Private key in PEM (PKCS#8, PKCS#1 or SEC1), not encrypted.";
    names: Vec<String> = Vec::new(), Kind::Texts, Live, "",
        "Имена и IP в сертификате для разработки, кроме localhost, 127.0.0.1 и ::1.",
        "Names and IPs in the development certificate besides localhost, 127.0.0.1 and ::1.";
}

section! { LimitsSection "limits" false,
    "Пределы: сколько узел принимает и сколько ждёт.", "Limits: how much the node takes and how long it waits.";
    submit_body_bytes: usize = 4 << 20, Kind::Int(65_536, 67_108_864), Live, "",
        "Тело запроса при подаче записей, байт.",
        "Request body when records are submitted, bytes.";
    body_bytes: usize = 64 << 10, Kind::Int(1_024, 16_777_216), Live, "",
        "Тело любого другого запроса, байт.",
        "Body of any other request, bytes.";
    header_bytes: usize = 16 << 10, Kind::Int(2_048, 262_144), Live, "",
        "Все заголовки запроса вместе, байт.",
        "All headers of a request together, bytes.";
    header_count: usize = 64, Kind::Int(16, 1_000), Live, "",
        "Заголовков в запросе.",
        "Headers in a request.";
    header_timeout_seconds: u64 = 10, Kind::Int(1, 300), Live, "",
        "За сколько секунд должны прийти заголовки; столько же даётся на рукопожатие TLS.",
        "Seconds within which headers must arrive; the TLS handshake gets the same.";
    request_timeout_seconds: u64 = 30, Kind::Int(1, 600), Live, "",
        "На тело запроса и на ответ: по столько секунд.",
        "Seconds for the request's body to arrive, and again for its answer.";
    idle_timeout_seconds: u64 = 75, Kind::Int(2, 3_600), Live, "",
        "Соединение без единого байта дольше этого закрывается, секунд.",
        "A connection without a single byte for longer is closed, seconds.";
    connections: usize = 4_096, Kind::Int(1, 100_000), Restart, "",
        "Соединений одновременно; лишние ждут в очереди ядра.",
        "Connections at a time; more wait in the kernel's queue.";
    requests: usize = 512, Kind::Int(1, 100_000), Restart, "",
        "Запросов в работе одновременно; лишним отвечают 503 и Retry-After.",
        "Requests in work at a time; more are answered 503 with Retry-After.";
    buffered_body_bytes: usize = 256 << 20, Kind::Int(65_536, 68_719_476_736), Restart, "",
        "Тела всех запросов в памяти вместе, байт; лишним отвечают 503 и Retry-After.",
        "Bodies of all requests in memory together, bytes; more are answered 503 with Retry-After.";
    event_streams: usize = 64, Kind::Int(0, 10_000), Restart, "",
        "Потоков событий (/api/v1/changes) одновременно, с одного адреса — четверть; лишним отвечают 503 и Retry-After.",
        "Event streams (/api/v1/changes) at a time, a quarter for one address; more are answered 503 with Retry-After.";
    shutdown_seconds: u64 = 20, Kind::Int(0, 600), Live, "",
        "Сколько секунд при остановке ждать начатые запросы.",
        "Seconds to wait for started requests when stopping.";
}

section! { SequencerSection "sequencer" false,
    "Запись в журнал.", "Writing to the log.";
    max_batch_records: usize = 1_000, Kind::Int(1, 100_000), Restart, "",
        "Записей в одной фиксации, не больше.",
        "Most records in one commit.";
    max_batch_bytes: usize = 8 << 20, Kind::Int(65_536, 268_435_456), Restart, "",
        "Байт записей в одной фиксации, не больше.",
        "Most bytes of records in one commit.";
}

section! { SyncSection "sync" false,
    "Слежение за другими узлами.", "Following other nodes.";
    interval_seconds: u64 = 60, Kind::Int(1, 86_400), Live, "",
        "Как часто спрашивать каждый узел, секунд.",
        "How often each node is asked, seconds.";
    stale_after_hours: u64 = 24, Kind::Int(1, 8_760), Live, "",
        "Через сколько часов без проверенных новостей данные региона называются устаревшими.",
        "Hours without verified news after which a region's data is called stale.";
    allow_addresses: Vec<AddressRange> = Vec::new(), Kind::Texts, Live, "",
        "Диапазоны адресов, не видимых из интернета, к которым узел может обращаться по имени или по адресу из устава, например \"10.0.0.0/8\".",
        "Ranges of addresses that the internet cannot reach, to which the node may connect by a name or a charter's URL, as \"10.0.0.0/8\".";
}

section! { AlertsSection "alerts" false,
    "Сообщения оператору, когда журнал остановлен, отстаёт, устарел и когда он снова в порядке.",
    "Messages to the operator when a log is held, kept back or stale, and when it is fine again.";
    webhook: Option<String> = None, Kind::Text, Live, "\"https://monitor.example.ru/domovoi\"",
        "Куда отправлять (POST, JSON): https, на loopback можно http.",
        "Where to send them (POST, JSON): https, or http on loopback.";
    secret_file: Option<PathBuf> = None, Kind::Path, Live, "\"alerts.secret\"",
        "Файл с общим секретом (от 16 байт, права 600): им подписывается каждое сообщение, заголовок Domovoi-Signature.",
        "File with a shared secret (16 bytes or more, mode 600): every message is signed with it, header Domovoi-Signature.";
    ca: Option<PathBuf> = None, Kind::Path, Live, "\"monitor.pem\"",
        "Файл PEM, которому доверять вместо публичных центров.",
        "PEM file to trust instead of the public authorities.";
}

section! { RecoverySection "recovery" false,
    "Перед первой подписью после запуска: узел спрашивает, какой длины журнал знают другие.",
    "Before the first signature after a start: the node asks how long a log the others know.";
    peers_must_answer: Option<u64> = None, Kind::Int(0, 100), Restart, "1",
        "Сколько узлов должно показать копию этого журнала, прежде чем узел что-либо подпишет; без настройки один, если назван хоть один [[mirror]], иначе никто.",
        "How many nodes must show a copy of this log before anything is signed; not set: one where a mirror is named, else nobody.";
}

section! { LogSection "log" false,
    "Сообщения узла (в stderr). Тела запросов, запрошенные адреса и секреты в них не попадают.",
    "The node's messages (to stderr). They never hold request bodies, requested paths or secrets.";
    format: String = "text".into(), Kind::Choice(&["text", "json"]), Restart, "",
        "Вид сообщений.",
        "Form of the messages.";
    level: String = "info".into(), Kind::Choice(&["error", "warn", "info", "debug", "trace"]), Live, "",
        "Подробность.",
        "How much is said.";
}

section! { Follow "follow" true,
    "За каким узлом следить; раздел повторяется для каждого.", "A node to follow; repeated for each.";
    name: String = String::new(), Kind::Text, Live, "\"karelia\"",
        "Короткое имя: строчные латинские буквы, цифры, дефис.",
        "Short name: lower-case Latin letters, digits, hyphen.";
    url: String = String::new(), Kind::Text, Live, "\"https://chats.karelia.example\"",
        "Его адрес: https, на loopback можно http.",
        "Its URL: https, or http on loopback.";
    charter_sha256: String = String::new(), Kind::Text, Live,
        "\"0000000000000000000000000000000000000000000000000000000000000000\"",
        "SHA-256 его устава (64 шестнадцатеричных знака), полученный не от самого узла.",
        "SHA-256 of its charter (64 hex digits), learnt other than from the node itself.";
    ca: Option<PathBuf> = None, Kind::Path, Live, "\"karelia.pem\"",
        "Файл PEM, которому доверять вместо публичных центров (сертификат для разработки).",
        "PEM file to trust instead of the public authorities (a development certificate).";
}

section! { CosignSection "cosign" false,
    "Заверение журнала этого узла другими.", "Cosignatures of others on this node's log.";
    interval_seconds: u64 = 900, Kind::Int(1, 86_400), Restart, "",
        "Через сколько секунд журнал, в котором ничего не меняется, заверяется заново.",
        "Seconds after which a log in which nothing changes is cosigned anew.";
}

section! { CosignerEntry "cosigner" true,
    "Кто ещё заверяет журнал этого узла, кроме названных в уставе; раздел повторяется для каждого.",
    "Who cosigns this node's log besides those whom the charter names; repeated for each.";
    kind: String = "witness".into(), Kind::Choice(&["witness", "mirror", "verifier"]), Restart, "\"witness\"",
        "Свидетель, зеркало или проверяющий.",
        "Witness, mirror or verifier.";
    url: String = String::new(), Kind::Text, Restart, "\"https://witness.example/witness\"",
        "Адрес: у свидетеля — до «/add-checkpoint», у зеркала и проверяющего — адрес узла.",
        "URL: of a witness the part before /add-checkpoint, of a mirror and a verifier that of the node.";
    vkey: String = String::new(), Kind::Text, Restart, "\"witness.example+9a073b7a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\"",
        "Его ключ (vkey).",
        "Its key (a vkey).";
    ca: Option<PathBuf> = None, Kind::Path, Restart, "\"witness.pem\"",
        "Файл PEM, которому доверять вместо публичных центров (сертификат для разработки).",
        "PEM file to trust instead of the public authorities (a development certificate).";
}

section! { Mirror "mirror" true,
    "Узел, который хранит копию журнала этого узла (следит за ним); раздел повторяется для каждого.",
    "A node that keeps a copy of this node's log (it follows it); repeated for each.";
    name: String = String::new(), Kind::Text, Restart, "\"ministry\"",
        "Короткое имя: строчные латинские буквы, цифры, дефис.",
        "Short name: lower-case Latin letters, digits, hyphen.";
    url: String = String::new(), Kind::Text, Restart, "\"https://chats.ministry.example\"",
        "Его адрес: https, на loopback можно http.",
        "Its URL: https, or http on loopback.";
    ca: Option<PathBuf> = None, Kind::Path, Restart, "\"ministry.pem\"",
        "Файл PEM, которому доверять вместо публичных центров (сертификат для разработки).",
        "PEM file to trust instead of the public authorities (a development certificate).";
}

section! { WitnessLog "witness_log" true,
    "Журнал, который не назван ни в одном уставе, но который заверяет свидетель этого узла; раздел повторяется для каждого.",
    "A log that no charter names and that this node's witness cosigns all the same; repeated for each.";
    vkey: String = String::new(), Kind::Text, Restart, "\"log.example+36e48a5e+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\"",
        "Ключ журнала (vkey, имя ключа — имя журнала).",
        "The log's key (a vkey; its name is the log's origin).";
    origin: Option<String> = None, Kind::Text, Restart, "\"log.example\"",
        "Имя журнала, если оно не совпадает с именем ключа.",
        "Origin of the log, where it is not the name of the key.";
}

/// All sections, in the order of the example.
pub static SECTIONS: &[&Section] = &[
    &NodeSection::SECTION,
    &HttpSection::SECTION,
    &TlsSection::SECTION,
    &LimitsSection::SECTION,
    &SequencerSection::SECTION,
    &SyncSection::SECTION,
    &AlertsSection::SECTION,
    &RecoverySection::SECTION,
    &CosignSection::SECTION,
    &LogSection::SECTION,
    &Follow::SECTION,
    &Mirror::SECTION,
    &CosignerEntry::SECTION,
    &WitnessLog::SECTION,
];

/// A checked configuration. There is no way to make one that has not passed [`Config::load`]'s checks, except the
/// defaults.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Config {
    /// The node itself.
    pub node: NodeSection,
    /// Accepting connections.
    pub http: HttpSection,
    /// HTTPS certificate.
    pub tls: TlsSection,
    /// Limits.
    pub limits: LimitsSection,
    /// Writing to the log.
    pub sequencer: SequencerSection,
    /// Following other nodes.
    pub sync: SyncSection,
    /// Messages to the operator.
    pub alerts: AlertsSection,
    /// Before the first signature after a start.
    pub recovery: RecoverySection,
    /// Cosignatures of others.
    pub cosign: CosignSection,
    /// The node's messages.
    pub log: LogSection,
    /// Nodes to follow.
    pub follow: Vec<Follow>,
    /// Nodes that keep a copy of this node's log.
    pub mirror: Vec<Mirror>,
    /// Cosigners besides those of the charter.
    pub cosigner: Vec<CosignerEntry>,
    /// Logs beside those of the charters that the witness cosigns.
    pub witness_log: Vec<WitnessLog>,
}

impl Config {
    /// Reads the file (none: defaults), then lays `env` and `sets` (`section.key=value`) over it.
    ///
    /// Errors (all refusals): `config.file` unreadable or too large, `config.syntax`, `config.key` unknown,
    /// `config.type`, `config.value`, `config.override`, `config.plain_http`, `config.tls`.
    pub fn load(file: Option<&Path>, env: &[(String, String)], sets: &[String]) -> Result<Config> {
        let text = match file {
            Some(path) => read_text(path, layers::MAX_FILE_BYTES)?,
            None => String::new(),
        };
        Self::from_layers(&text, file.unwrap_or(Path::new("")), env, sets)
    }

    /// [`Config::load`] with the file's text already read; `file` names it in errors and gives relative paths a base.
    pub fn from_layers(text: &str, file: &Path, env: &[(String, String)], sets: &[String]) -> Result<Config> {
        let mut table = layers::from_text(text, file)?;
        layers::override_with(&mut table, env, sets)?;
        // The default, too, is relative to the file, not to where the process happens to be started.
        let node = table.entry("node").or_insert_with(|| toml::Value::Table(toml::Table::new()));
        if let toml::Value::Table(node) = node {
            let beside = file.parent().filter(|dir| !dir.as_os_str().is_empty()).map(Path::to_owned);
            let data = beside.unwrap_or(NodeSection::default().data_dir);
            node.entry("data_dir").or_insert_with(|| data.to_string_lossy().into_owned().into());
        }
        let config: Config = table.try_into().map_err(|error: toml::de::Error| {
            let detail = format!("{}: {}", file.display(), error.message());
            Error::refuse("config.type", detail, "see config/domovoi.example.toml")
        })?;
        config.check().map_err(|error| match file.as_os_str().is_empty() {
            true => error,
            false => error.at(file.display()),
        })?;
        Ok(config)
    }

    /// This process's `DOMOVOI_…` variables, for [`Config::load`].
    pub fn environment() -> Result<Vec<(String, String)>> {
        let ours = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with("DOMOVOI_"))?;
            Some(value.into_string().map(|value| (name.clone(), value)).map_err(|_| {
                let detail = format!("environment variable {name}: not UTF-8");
                Error::refuse("config.override", detail, "set it to UTF-8 text")
            }))
        });
        ours.collect()
    }

    /// The annotated example file.
    pub fn example() -> String {
        schema::example(SECTIONS, &to_table(&Config::default()))
    }

    /// `section.key` of all settings that differ from `newer` and wait for a restart; others apply on reload.
    pub fn restart_needed(&self, newer: &Config) -> Vec<String> {
        let (old, new) = (to_table(self), to_table(newer));
        let value = |table: &toml::Table, section: &str, key: &str| -> Option<toml::Value> {
            table.get(section)?.as_table()?.get(key).cloned()
        };
        let of_section = |section: &&'static Section| {
            let key = section.key;
            section.fields.iter().filter(|field| field.apply == Apply::Restart).map(move |field| (key, field.key))
        };
        SECTIONS
            .iter()
            .filter(|section| !section.repeated)
            .flat_map(of_section)
            .filter(|(section, key)| value(&old, section, key) != value(&new, section, key))
            .map(|(section, key)| format!("{section}.{key}"))
            .collect()
    }

    /// The passphrase of the key files: `DOMOVOI_PASSPHRASE`, else `node.passphrase_file`, else none.
    pub fn passphrase(&self) -> Result<Option<SecretString>> {
        if let Ok(text) = std::env::var("DOMOVOI_PASSPHRASE") {
            return Ok(Some(text.into()));
        }
        let Some(path) = &self.node.passphrase_file else { return Ok(None) };
        #[cfg(unix)]
        if let Ok(meta) = std::fs::metadata(path) {
            use std::os::unix::fs::PermissionsExt;
            if meta.permissions().mode() & 0o007 != 0 {
                let detail = format!("passphrase file {} may be read by anybody", path.display());
                return Err(Error::refuse("config.passphrase", detail, "chmod 600 the file"));
            }
        }
        let text = read_text(path, 4096)?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned().into()))
    }

    /// How many of the named mirrors must show a copy of this node's log before it signs.
    pub fn mirrors_must_answer(&self) -> usize {
        let named = self.recovery.peers_must_answer.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        named.unwrap_or(self.mirror.len().min(1))
    }

    /// Whether the listeners speak TLS.
    pub fn uses_tls(&self) -> bool {
        !self.http.plain_http
    }

    /// The reverse proxy's address, where one is named.
    pub fn proxy_address(&self) -> Option<IpAddr> {
        let (name, address) = self.http.behind_proxy.as_deref()?.split_once('/')?;
        (!name.is_empty()).then(|| address.parse().ok()).flatten()
    }

    /// What no single value shows.
    fn check(&self) -> Result<()> {
        let refuse = |code, detail: String, remedy| Err(Error::refuse(code, detail, remedy));
        if self.http.listen.is_empty() || self.http.listen.len() > 16 {
            return refuse("config.value", "http.listen: 1 to 16 addresses are allowed".into(), "list at least one");
        }
        if let Some(proxy) = &self.http.behind_proxy
            && self.proxy_address().is_none()
        {
            let detail = format!("http.behind_proxy = {proxy:?}: not of the form \"name/IP address\"");
            return refuse("config.value", detail, "write it as \"nginx/10.0.0.5\"");
        }
        let open = self.http.listen.iter().find(|address| !address.ip().to_canonical().is_loopback());
        if let (true, Some(address), None) = (self.http.plain_http, open, &self.http.behind_proxy) {
            return refuse(
                "config.plain_http",
                format!("http.plain_http: {address} is not loopback, and no reverse proxy is named"),
                "remove plain_http, listen on 127.0.0.1, or set http.behind_proxy = \"name/IP\"",
            );
        }
        let safe = ["https://", "http://127.0.0.1", "http://localhost", "http://[::1]"];
        if let Some(url) = &self.alerts.webhook
            && !safe.iter().any(|s| url.starts_with(s))
        {
            let detail = "alerts.webhook: only https, or http on loopback".into();
            return refuse("config.value", detail, "write https://host/path");
        }
        if self.tls.certificate.is_some() != self.tls.private_key.is_some() {
            let detail = "tls.certificate and tls.private_key: only one of them is set".into();
            return refuse("config.tls", detail, "set both, or none for a development certificate");
        }
        if self.limits.idle_timeout_seconds <= self.limits.request_timeout_seconds {
            let detail = "limits.idle_timeout_seconds must be greater than limits.request_timeout_seconds".into();
            return refuse("config.value", detail, "a working request would be cut as idle; raise the idle timeout");
        }
        if self.limits.buffered_body_bytes < self.limits.submit_body_bytes.max(self.limits.body_bytes) {
            let detail = "limits.buffered_body_bytes is smaller than the largest body allowed".into();
            return refuse("config.value", detail, "raise it to at least limits.submit_body_bytes");
        }
        if let Some(url) = &self.node.public_url {
            check_url("node.public_url", url)?;
        }
        for (index, cosigner) in self.cosigner.iter().enumerate() {
            check_url(&format!("cosigner[{index}].url"), &cosigner.url)?;
            CosignerKey::parse(&cosigner.vkey).map_err(|e| {
                Error::refuse(
                    "config.value",
                    format!("cosigner[{index}].vkey: {}", e.detail()),
                    "give the cosigner's vkey",
                )
            })?;
        }
        for (index, log) in self.witness_log.iter().enumerate() {
            log.key().map_err(|e| {
                Error::refuse(
                    "config.value",
                    format!("witness_log[{index}].vkey: {}", e.detail()),
                    "give the log's vkey",
                )
            })?;
        }
        let mut names = HashSet::new();
        for (index, follow) in self.follow.iter().enumerate() {
            let place = format!("follow[{index}]");
            follow.check(&place)?;
            if !names.insert(&follow.name) {
                let detail = format!("{place}.name: {:?} is followed twice", follow.name);
                return refuse("config.value", detail, "give each followed node a name of its own");
            }
        }
        let mut names = HashSet::new();
        for (index, mirror) in self.mirror.iter().enumerate() {
            let place = format!("mirror[{index}]");
            check_name(&place, &mirror.name)?;
            check_url(&format!("{place}.url"), &mirror.url)?;
            if !names.insert(&mirror.name) {
                let detail = format!("{place}.name: {:?} is named twice", mirror.name);
                return refuse("config.value", detail, "give each mirror a name of its own");
            }
        }
        if self.mirrors_must_answer() > self.mirror.len() {
            let detail = format!("recovery.peers_must_answer: {} [[mirror]] are named", self.mirror.len());
            return refuse("config.value", detail, "name the nodes that keep a copy of this log, or ask for fewer");
        }
        Ok(())
    }
}

impl WitnessLog {
    /// Origin of the log, and its key.
    ///
    /// # Errors
    /// Those of [`VerifierKey::parse`].
    pub fn key(&self) -> Result<(String, VerifierKey)> {
        let key = VerifierKey::parse(&self.vkey)?;
        Ok((self.origin.clone().unwrap_or_else(|| key.name().to_owned()), key))
    }
}

impl Follow {
    fn check(&self, place: &str) -> Result<()> {
        check_name(place, &self.name)?;
        check_url(&format!("{place}.url"), &self.url)?;
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if self.charter_sha256.len() != 64 || !self.charter_sha256.chars().all(hex) {
            let detail = format!("{place}.charter_sha256: 64 lower-case hex digits are required");
            return Err(Error::refuse("config.value", detail, "ask that region for its charter's SHA-256"));
        }
        Ok(())
    }
}

fn check_name(place: &str, name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 40 || !name.chars().all(plain) {
        let detail = format!("{place}.name: 1 to 40 lower-case Latin letters, digits and hyphens are required");
        return Err(Error::refuse("config.value", detail, "give the node a short name"));
    }
    Ok(())
}

/// `https://host[:port][/path]`, or http on loopback; no query, fragment, user or closing slash.
fn check_url(key: &str, text: &str) -> Result<()> {
    let fault = match reqwest::Url::parse(text) {
        Err(error) => Some(error.to_string()),
        Ok(url) => {
            let host = url.host_str().unwrap_or("").trim_matches(['[', ']']);
            let loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
            let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
            match url.scheme() {
                "https" => (),
                "http" if loopback => (),
                _ => return Err(url_error(key, text, "https is required (http only on loopback)")),
            }
            (!bare || url.password().is_some() || text.ends_with('/') || text.len() > 500)
                .then(|| "a query, fragment, user name or closing slash is not allowed".to_owned())
        }
    };
    fault.map_or(Ok(()), |fault| Err(url_error(key, text, &fault)))
}

fn url_error(key: &str, text: &str, fault: &str) -> Error {
    let shown: String = text.chars().take(100).collect();
    Error::refuse(
        "config.value",
        format!("{key} = {shown:?}: {fault}"),
        "write it as https://host or https://host:port",
    )
}

/// A configuration is plain data, so this cannot fail; were it to, an empty table means "no default shown".
fn to_table(config: &Config) -> toml::Table {
    toml::Table::try_from(config).unwrap_or_default()
}

fn read_text(path: &Path, max: u64) -> Result<String> {
    let remedy = "check the path and its permissions";
    let file_error = |fault: String| Error::refuse("config.file", format!("{}: {fault}", path.display()), remedy);
    let file = std::fs::File::open(path).map_err(|error| file_error(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(|error| file_error(error.to_string()))?;
    if bytes.len() as u64 > max {
        return Err(file_error(format!("larger than {max} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| file_error("not UTF-8 text".into()))
}
