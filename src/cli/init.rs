//! `domovoi init`: keys, region, authority, a charter of one; or a node that only follows.

use clap::Args;
use ed25519_dalek::SigningKey;

use super::{Context, passphrase};
use crate::error::{Error, Result};
use crate::federation::charter::{Charter, RegionOfOne};
use crate::node::cosigner_keys::{self, Role};
use crate::node::layout::Layout;
use crate::registry::body::{AuthorityEnrolled, Body, KeyBytes, KeyGranted, List};
use crate::registry::envelope::{Envelope, TYP_RECORD};
use crate::registry::ids::{OrgId, RegionCode};
use crate::registry::record::{Draft, Record};
use crate::registry::signature::PublicKey;
use crate::registry::text::{Millis, Text};
use crate::storage::durable::{create_dir, write_atomic};
use crate::storage::{format, keys};
use crate::tlog::note::NoteSigner;

/// Creates a node.
#[derive(Debug, Args)]
pub struct Init {
    #[arg(long, help = "Код региона, две цифры; без него узел только следит за другими", requires_all = ["authority", "name"])]
    region: Option<String>,
    #[arg(long, help = "Орган-владелец: ogrn:… или inn:…")]
    authority: Option<String>,
    #[arg(long, help = "Полное название органа")]
    name: Option<String>,
    #[arg(long, help = "Имя журнала, например chats.example.ru/77")]
    origin: Option<String>,
    #[arg(long, help = "Адрес, по которому узел увидят другие")]
    url: Option<String>,
    #[arg(long, default_value = "127.0.0.1:8443", help = "Где принимать соединения")]
    listen: String,
}

/// Ten years: how long the operator's first key is valid, in milliseconds.
const KEY_LIFE: u64 = 3653 * 86_400_000;

impl Init {
    /// Makes the data directory. Refuses one that is in use.
    pub fn run(&self, context: &Context) -> Result<()> {
        let data = &context.common.data;
        let layout = Layout::new(data);
        if layout.config().exists() || layout.charter().exists() {
            return Err(Error::refuse(
                "init.exists",
                format!("{} holds a node already", data.display()),
                "choose another --data",
            ));
        }
        let url = self.url.clone().unwrap_or_else(|| format!("https://{}", self.listen));
        for folder in [data.clone(), data.join("keys")] {
            create_dir(&folder)
                .map_err(|e| Error::refuse("init.folder", e.detail(), "choose a folder that can be written"))?;
        }
        format::create(data)?;
        let pin = match &self.region {
            Some(region) => Some(self.region_node(context, &layout, region, &url)?),
            None => None,
        };
        write_atomic(&layout.config(), config_text(&self.listen, &url).as_bytes())?;
        let value = serde_json::json!({ "data": data, "charter_sha256": pin, "url": url });
        context.out.result(&value, |out| {
            out.line(
                &out.pick(format!("Узел создан в {}.", data.display()), format!("The node is in {}.", data.display())),
            );
            if let Some(pin) = &pin {
                out.line(&out.pick(format!("SHA-256 устава: {pin}"), format!("SHA-256 of the charter: {pin}")));
            }
        });
        let at = data.display();
        if pin.is_none() {
            context.out.next(
                &[
                    &format!("domovoi --data {at} follow https://УЗЕЛ --charter-sha256 … — следить за регионом"),
                    &format!("domovoi --data {at} serve — запустить узел"),
                ],
                &[
                    &format!("domovoi --data {at} follow https://NODE --charter-sha256 … — follow a region"),
                    &format!("domovoi --data {at} serve — start the node"),
                ],
            );
            return Ok(());
        }
        context.out.next(
            &[
                &format!("domovoi --data {at} serve — запустить узел"),
                &format!("domovoi --data {at} import buildings ФАЙЛ — загрузить дома"),
                "перенесите keys/federation-root.pem и keys/region-root.pem на носитель без сети",
            ],
            &[
                &format!("domovoi --data {at} serve — start the node"),
                &format!("domovoi --data {at} import buildings FILE — load the buildings"),
                "move keys/federation-root.pem and keys/region-root.pem to a medium without a network",
            ],
        );
        Ok(())
    }

    fn region_node(&self, context: &Context, layout: &Layout, region: &str, url: &str) -> Result<String> {
        let passphrase = passphrase(context, true)?;
        let region: RegionCode = region.parse()?;
        let missing =
            |what: &str| Error::refuse("init.argument", format!("--{what} is needed with --region"), "name it");
        let authority: OrgId = self.authority.as_deref().ok_or_else(|| missing("authority"))?.parse()?;
        let name = Text::normalise(self.name.as_deref().ok_or_else(|| missing("name"))?)?;
        let table = region.region().ok_or_else(|| missing("region"))?;
        let origin = self.origin.clone().unwrap_or_else(|| format!("domovoi.example/{region}"));
        let roles = ["federation-root", "region-root", "log", "commit", "operator"];
        let mut made = Vec::with_capacity(roles.len());
        for role in roles {
            let key = keys::generate();
            keys::write_encrypted(&layout.key(role), &key, &passphrase)?;
            made.push(key);
        }
        let [federation, root, log, commit, operator]: [SigningKey; 5] =
            made.try_into().map_err(|_| Error::stop("init.keys", "keys are missing", "report this as a defect"))?;
        let vkey = NoteSigner::new(&origin, log)?.verifier().to_string();
        for role in Role::USUAL {
            cosigner_keys::make(layout, role, &origin, &passphrase)?;
        }
        let now = crate::node::now_ms();
        let bytes = Charter::of_one_cosigning(
            RegionOfOne {
                code: region,
                name: Text::normalise(table.name_ru)?,
                oktmo: table.oktmo.clone(),
                authority: authority.clone(),
                root_key: PublicKey::of(&root),
                commit_key: PublicKey::of(&commit),
                origin: origin.clone(),
                log_vkey: vkey.clone(),
                url: url.to_owned(),
            },
            cosigner_keys::for_charter(layout)?,
            now,
            &federation,
        )?;
        let charter = Charter::open(&bytes)?;
        write_atomic(&layout.charter(), &bytes)?;
        write_atomic(&layout.vkey(), format!("{vkey}\n").as_bytes())?;
        let first = founding_records(&origin, authority, name, &table.oktmo, &root, &operator, now)?;
        write_atomic(&layout.founding(), &first)?;
        write_atomic(&layout.origin_file(), format!("{origin}\n").as_bytes())?;
        Ok(charter.sha256().to_string())
    }
}

/// The authority and its operator's key, signed by the region's root: one envelope per line.
fn founding_records(
    origin: &str,
    authority: OrgId,
    name: Text,
    oktmo: &[crate::registry::ids::OktmoPrefix],
    root: &SigningKey,
    operator: &SigningKey,
    now: u64,
) -> Result<Vec<u8>> {
    let enrolled = Body::AuthorityEnrolled(AuthorityEnrolled {
        authority: authority.clone(),
        name,
        oktmo: List(oktmo.to_vec()),
        short_name: None,
    });
    let granted = Body::KeyGranted(KeyGranted {
        key: KeyBytes(PublicKey::of(operator)),
        authority,
        scopes: List(vec![Text::new("*")?]),
        oktmo: List(oktmo.to_vec()),
        not_before: Millis::new(now.saturating_sub(86_400_000))?,
        not_after: Millis::new(now + KEY_LIFE)?,
    });
    let mut out = Vec::new();
    for body in [enrolled, granted] {
        let (_, payload) = Record::encode(Draft {
            log: origin.into(),
            issued_at: Millis::new(now)?,
            submit_before: Millis::new(now + 366 * 86_400_000)?,
            effective_from: None,
            prev: None,
            basis: None,
            batch: Some(Text::new("founding")?),
            body,
        })?;
        out.extend_from_slice(&Envelope::sign(payload, TYP_RECORD, &[root]));
        out.push(b'\n');
    }
    Ok(out)
}

pub(super) fn config_text(listen: &str, url: &str) -> String {
    format!(
        "# Настройки узла domovoi; все возможные — «domovoi config example».\n\
         # Settings of a domovoi node; for all of them see «domovoi config example».\n\n\
         [node]\ndata_dir = \".\"\npublic_url = \"{url}\"\n\n[http]\nlisten = [\"{listen}\"]\n"
    )
}
