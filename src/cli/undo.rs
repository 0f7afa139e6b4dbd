//! `domovoi undo BATCH`: takes a batch back by superseding its records, last first. Lists first what depends on it. What a
//! compromised key signed from an entry on is taken back the same way.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::api::Api;
use super::drafts::{Frame, draft, open_keys, sign};
use super::record::BasisArgs;
use super::{Context, passphrase};
use crate::error::{Error, Result};
use crate::node::query::HistoryView;
use crate::registry::body::{Body, RecordSuperseded};
use crate::registry::ids::KeyThumb;
use crate::registry::record::Subject;
use crate::registry::text::Text;

/// Takes a batch back.
#[derive(Debug, Args)]
pub struct Undo {
    #[arg(
        help = "Партия, как её назвала команда загрузки",
        required_unless_present = "signed_by",
        conflicts_with = "signed_by"
    )]
    batch: Option<String>,
    #[arg(
        long,
        value_name = "KID",
        allow_hyphen_values = true,
        help = "Вместо партии: всё, что подписал этот ключ (отпечаток)"
    )]
    signed_by: Option<KeyThumb>,
    #[arg(long, value_name = "INDEX", default_value_t = 0, help = "С --signed-by: начиная с этой записи журнала")]
    since: u64,
    #[arg(long, help = "Только показать, что будет отменено и что от этого зависит")]
    dry_run: bool,
    #[arg(long = "key", help = "Файл ключа (по умолчанию ключ оператора)")]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    basis: BasisArgs,
}

/// Records that take themselves back by their kind.
const CORRECTABLE: &[&str] = &[
    "building.registered",
    "building.retired",
    "management.assigned",
    "management.ended",
    "chat.registered",
    "chat.declared",
    "chat.suspended",
    "chat.restored",
    "chat.closed",
    "chat.replaced",
    "admin.delegated",
    "admin.withdrawn",
];

impl Undo {
    /// Lists, then supersedes.
    pub fn run(&self, context: &Context) -> Result<()> {
        let api = Api::new(context)?;
        let all = everything(&api, context)?;
        let region = api.info()?.region.as_deref().unwrap_or_default().parse()?;
        let subject_of = |r: &HistoryView| -> Result<Subject> {
            let body = Body::decode(&r.r#type, &r.body.to_string())?;
            Ok(body.subject(&r.id.parse()?, region))
        };
        let superseded: HashSet<&str> =
            all.iter().filter(|r| r.r#type == "record.superseded").filter_map(|r| r.body["record"].as_str()).collect();
        let mine: Vec<&HistoryView> = all.iter().filter(|r| self.is_meant(r)).collect();
        if mine.is_empty() {
            return Err(Error::refuse(
                "undo.batch",
                format!("the log has no batch «{}»", self.name()),
                "see the batch names in «domovoi show history …»",
            ));
        }
        let (mut plan, mut skipped) = (Vec::new(), Vec::new());
        let mut first: BTreeMap<Subject, u64> = BTreeMap::new();
        for r in mine {
            let subject = subject_of(r)?;
            first.entry(subject.clone()).or_insert(r.index);
            if superseded.contains(r.id.as_str()) || r.r#type == "record.superseded" {
                continue;
            }
            if CORRECTABLE.contains(&r.r#type.as_str()) { plan.push((r, subject)) } else { skipped.push(r) }
        }
        let mut dependants = Vec::new();
        for r in &all {
            if self.is_meant(r) || r.r#type == "record.superseded" {
                continue;
            }
            let later = first.get(&subject_of(r)?).is_some_and(|index| r.index > *index);
            // A chat rests on a building that this batch registers. One that was there before, or whose management alone the
            // batch changed, does not.
            let named = r.r#type.starts_with("chat.")
                && r.body["buildings"].as_array().into_iter().flatten().any(|b| {
                    let on = |(made, s): &(&HistoryView, Subject)| {
                        made.r#type == "building.registered"
                            && made.index < r.index
                            && matches!(s, Subject::Building(id) if b.as_str() == Some(id.to_string().as_str()))
                    };
                    plan.iter().any(on)
                });
            if (later || named) && !superseded.contains(r.id.as_str()) {
                dependants.push(r);
            }
        }
        self.show(context, &plan, &skipped, &dependants);
        if self.dry_run {
            return Ok(());
        }
        if !dependants.is_empty() {
            return Err(Error::refuse(
                "undo.dependants",
                format!("{} later records depend on this batch", dependants.len()),
                "undo their batches first",
            ));
        }
        let default = vec![context.config()?.node.data_dir.join("keys/operator.pem")];
        let keys = open_keys(if self.keys.is_empty() { &default } else { &self.keys }, &passphrase(context, true)?)?;
        let frame = Frame {
            batch: Some(Text::normalise(&format!("undo {}", self.name()))?),
            basis: self.basis.basis()?,
            ..Frame::default()
        };
        let bar = context.out.progress(plan.len() as u64, "Отмена", "Undoing");
        let mut outcomes = Vec::new();
        // One at a time: each names the record before it, which only the log knows for sure.
        for (r, subject) in plan.into_iter().rev() {
            let body = Body::RecordSuperseded(RecordSuperseded { subject, record: r.id.parse()? });
            let (_, envelope) = sign(draft(&api, body, &frame)?, &keys)?;
            outcomes.extend(api.submit(&[envelope], false)?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        super::record::print_outcomes(context, &outcomes)
    }

    /// What is taken back, for people: the batch, or the key.
    fn name(&self) -> String {
        let key = self.signed_by.map(|k| format!("key {k} since {}", self.since));
        key.or_else(|| self.batch.clone()).unwrap_or_default()
    }

    fn is_meant(&self, r: &HistoryView) -> bool {
        match self.signed_by {
            Some(kid) => r.index >= self.since && r.signers.iter().any(|s| *s == kid.to_string()),
            None => r.batch == self.batch,
        }
    }

    fn show(
        &self,
        context: &Context,
        plan: &[(&HistoryView, Subject)],
        skipped: &[&HistoryView],
        dependants: &[&HistoryView],
    ) {
        let ids = |list: &[&HistoryView]| {
            list.iter().map(|r| Value::from(format!("{} {}", r.index, r.r#type))).collect::<Vec<_>>()
        };
        if context.out.is_json() && !self.dry_run {
            return;
        }
        let value = serde_json::json!({ "batch": self.name(), "undone": plan.len(), "kept": ids(skipped), "dependants": ids(dependants) });
        context.out.result(&value, |out| {
            out.line(&out.pick(
                format!("Будет отменено записей: {}", plan.len()),
                format!("Records to be undone: {}", plan.len()),
            ));
            if !skipped.is_empty() {
                out.line(&out.pick(
                    format!("Останется (исправляется своей записью): {}", skipped.len()),
                    format!("Kept (corrected by records of their own kind): {}", skipped.len()),
                ));
            }
            for r in dependants {
                out.line(&out.pick(
                    format!("Зависит: № {} {} {}", r.index, r.r#type, r.id),
                    format!("Depends: no. {} {} {}", r.index, r.r#type, r.id),
                ));
            }
        });
    }
}

/// Every record of the node's own log, page by page.
pub(super) fn everything(api: &Api, context: &Context) -> Result<Vec<HistoryView>> {
    let bar = context.out.progress(0, "Чтение журнала", "Reading the log");
    let (mut all, mut after) = (Vec::new(), 0u64);
    loop {
        let page: Value = api.get("changes", &[("after", after.to_string()), ("limit", "1000".into())])?;
        let items: Vec<HistoryView> = serde_json::from_value(page["items"].clone())
            .map_err(|e| Error::refuse("cli.answer", e.to_string(), "is it a domovoi node of this version?"))?;
        let next = page["next"].as_u64().unwrap_or(after);
        all.extend(items);
        bar.set_position(next);
        if next == after {
            break;
        }
        after = next;
    }
    bar.finish_and_clear();
    Ok(all)
}
