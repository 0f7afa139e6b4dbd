//! How a followed log stands, and what evidence proves, in words for people.

use serde::Serialize;
use utoipa::ToSchema;

use super::verdict::{Said, said};
use super::{Followed, Node};
use crate::error::russian;
use crate::federation::evidence::{Evidence, Finding};

/// How a followed log stands; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Something did not verify: nothing new of it is believed.
    Held,
    /// Its node goes on showing an older head than others have.
    Frozen,
    /// Nothing verified has been heard of it for longer than the policy allows, or its charter has run out.
    Stale,
    /// Its node does not answer at the moment.
    Unreachable,
    /// It was not heard of since the node follows it.
    Awaited,
    /// All is well.
    Fine,
}

impl Node {
    /// How a followed log stands.
    pub fn standing(&self, followed: &Followed) -> Standing {
        // Let go before `freshness` reads it again: a writer that waits in between would stop both for ever.
        let status = followed.status.read().clone();
        if status.held.is_some() {
            return Standing::Held;
        }
        if status.frozen {
            return Standing::Frozen;
        }
        if status.last_success.is_none() && followed.view.head().is_none() {
            return Standing::Awaited;
        }
        match (self.freshness(&followed.view).stale, status.last_error.is_some()) {
            (true, _) => Standing::Stale,
            (false, true) => Standing::Unreachable,
            (false, false) => Standing::Fine,
        }
    }
}

impl Standing {
    /// In two or three words.
    pub fn title(self) -> Said {
        match self {
            Standing::Held => said("Остановлен", "Held"),
            Standing::Frozen => said("Узел отстаёт", "Its node is kept back"),
            Standing::Stale => said("Данные устарели", "Stale"),
            Standing::Unreachable => said("Нет связи", "Unreachable"),
            Standing::Awaited => said("Ожидаются первые данные", "Awaited"),
            Standing::Fine => said("В порядке", "Fine"),
        }
    }

    /// What that means for whoever reads answers.
    pub fn meaning(self) -> Said {
        match self {
            Standing::Held => said(
                "Новое из этого журнала не принимается. Ответы даются по последнему состоянию, которое прошло все проверки.",
                "Nothing new of this log is accepted. Answers are given from the last state that passed every check.",
            ),
            Standing::Frozen => said(
                "У других узлов есть более новые записи, подписанные этим же журналом, а его узел показывает нам старые.",
                "Other nodes have newer entries signed by this very log, while its node shows us old ones.",
            ),
            Standing::Stale => said(
                "Проверенных новостей нет дольше, чем допускает порядок. Ответы помечены как устаревшие.",
                "There has been no verified news for longer than the policy allows. Answers are marked as stale.",
            ),
            Standing::Unreachable => said(
                "Узел сейчас не отвечает. Ответы даются по проверенной копии.",
                "The node does not answer at the moment. Answers are given from the verified copy.",
            ),
            Standing::Awaited => said("Узел ещё ни разу не ответил.", "The node has not answered yet."),
            Standing::Fine => said("Всё проверено.", "Everything is verified."),
        }
    }
}

/// Why a log is held, in plain words.
pub fn why_held(code: &str, detail: &str) -> Said {
    let ru = russian(code).map_or_else(|| detail.to_owned(), |(what, _)| what.to_owned());
    said(ru, detail)
}

/// What a file of evidence proves, and about whom.
pub fn proved(evidence: &Evidence, finding: &Finding) -> Said {
    let origin = &evidence.origin;
    match finding {
        Finding::SplitView { smaller, larger, keys, cosigners } => {
            let key = keys.join(", ");
            let (mut ru, mut en) = (
                format!(
                    "Доказано: журнал «{origin}» подписан своим ключом дважды по-разному. Подписано состояние из {smaller} и состояние из \
                     {larger} записей, и большее не продолжает меньшее. Так может сделать только тот, у кого есть ключ журнала: {key}."
                ),
                format!(
                    "Proved: the log «{origin}» was signed twice, differently, with its own key. A state of {smaller} and one of {larger} \
                     entries are signed, and the larger does not continue the smaller. Only whoever has the log's key can do that: {key}."
                ),
            );
            if !cosigners.is_empty() {
                let list = cosigners.join(", ");
                ru.push_str(&format!(" Оба состояния заверили и нарушили этим слово: {list}."));
                en.push_str(&format!(" Both states were cosigned, against their word, by: {list}."));
            }
            said(ru, en)
        }
        Finding::Rollback { accepted, served } => said(
            format!(
                "Не доказано. Обе контрольные точки ({accepted} и {served} записей) подписаны ключом журнала «{origin}», и они не противоречат \
                 друг другу. Что меньшую показали после большей, говорит только узел, который записал этот файл."
            ),
            format!(
                "Not proved. Both checkpoints ({accepted} and {served} entries) are signed by the key of the log «{origin}», and one does not \
                 contradict the other. That the smaller one was shown after the larger is only the word of the node that wrote this file."
            ),
        ),
        Finding::Entry { index, code, confirmed: true } => said(
            format!(
                "Доказано: в подписанном журнале «{origin}» есть запись {index}, которую принимать нельзя [{code}]: {}.",
                russian(code).map_or(code.as_str(), |(what, _)| what)
            ),
            format!("Proved: the signed log «{origin}» holds entry {index}, which must be refused [{code}]."),
        ),
        Finding::Entry { index, code, confirmed: false } => said(
            format!(
                "Доказано только, что запись {index} есть в подписанном журнале «{origin}». Нарушает ли она правило [{code}], зависит от записей \
                 до неё: повторите журнал («domovoi fsck» с копией первых {index} записей)."
            ),
            format!(
                "Proved is only that entry {index} is in the signed log «{origin}». Whether it breaks the rule [{code}] depends on the entries \
                 before it: replay the log («domovoi fsck» on a copy of the first {index} entries)."
            ),
        ),
        Finding::Charters { version, signers } => said(
            format!(
                "Доказано: корневые ключи федерации подписали два разных устава версии {version}. Оба подписали: {}.",
                signers.join(", ")
            ),
            format!(
                "Proved: the federation's root keys signed two different charters of version {version}. Both were signed by: {}.",
                signers.join(", ")
            ),
        ),
        Finding::Nothing => said(
            format!(
                "Не доказано ничего: то, что узел нашёл неверным в журнале «{origin}» [{}], никем не подписано.",
                evidence.code
            ),
            format!(
                "Nothing is proved: what the node found wrong in the log «{origin}» [{}] is signed by nobody.",
                evidence.code
            ),
        ),
    }
}
