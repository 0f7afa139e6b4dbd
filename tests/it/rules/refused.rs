//! What is refused, and with which code: one table over envelope, payload and rules.

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use domovoi::registry::body::*;
use domovoi::registry::envelope::{Envelope, MAX_ENTRY, MAX_PROOF_ENTRY, TYP_NODE, TYP_RECORD};
use domovoi::registry::facts::MAX_SPANS;
use domovoi::registry::ids::{ChatNumber, MaxChatId, RecordId};
use domovoi::registry::record::{Draft, Record, Subject};
use domovoi::registry::signature::{PublicKey, sign_strict};
use domovoi::registry::state::{MAX_SUCCESSIONS, View};
use domovoi::registry::text::Millis;
use ed25519_dalek::SigningKey;

use super::world::*;

mod rules;
pub use rules::RULES;

/// A region in which something of everything has happened.
#[derive(Clone)]
pub struct Scene {
    pub w: World,
    pub k: SigningKey,
    /// Official, over building 0, administered by company 0.
    chat: ChatNumber,
    /// Closed, over building 6.
    closed: ChatNumber,
    /// Declared, over building 7.
    declared: ChatNumber,
    /// Suspended, over building 8.
    suspended: ChatNumber,
    /// Registered by mistake over building 9 and superseded.
    void: ChatNumber,
    registration: RecordId,
    management: RecordId,
    ended: RecordId,
    end: RecordId,
    void_building: RecordId,
}

pub fn scene() -> Scene {
    let mut w = World::with_authorities(1);
    let (root, k) = (root_key(), authority_key(0, 0));
    for n in [3, 4] {
        w.say(enrolled(n), None, &[&root]);
        w.say(Body::KeyGranted(granted(&authority_key(n, 0), n, "*", "45", START, 1 << 50)), None, &[&root]);
    }
    w.say(Body::KeyGranted(granted(&authority_key(0, 5), 0, "*", "45", START, 1 << 50)), None, &[&root]);
    w.say(revoked(&authority_key(0, 5)), None, &[&k]);
    let mut registered = Vec::new();
    for n in 0..10 {
        let code = if n == 5 { "45200000" } else { "45100000" };
        let also = if n == 4 { vec![alias(0)] } else { vec![] };
        registered.push(w.say(Body::BuildingRegistered(house(n, code, also)), None, &[&k]));
    }
    w.commit();
    let management = w.say(assigned(0, Some(company(0))), Some(day(1)), &[&k]);
    let ended = w.say(assigned(1, Some(company(0))), Some(day(1)), &[&k]);
    let end = w.say(end_of(1, ended), Some(day(9)), &[&k]);
    let chat = |w: &mut World, n: usize| {
        let id = w.say(Body::ChatRegistered(chat_over(0, &[n], ChatKind::House, n)), Some(day(0)), &[&k]);
        (ChatNumber::derive("77".parse().unwrap(), &id.0), id)
    };
    let (main, registration) = chat(&mut w, 0);
    let (closed, _) = chat(&mut w, 6);
    let (suspended, _) = chat(&mut w, 8);
    let (void, mistake) = chat(&mut w, 9);
    w.commit();
    w.say(Body::ChatClosed(standing(closed)), Some(day(2)), &[&k]);
    w.say(Body::ChatSuspended(standing(suspended)), Some(day(2)), &[&k]);
    w.say(supersede(Subject::Chat(void), mistake), None, &[&k]);
    let id = w.say(declared_over(0, &[7], ChatKind::House, 7), None, &[&k]);
    let declared = ChatNumber::derive("77".parse().unwrap(), &id.0);
    w.say(admin(main, 0), Some(day(3)), &[&k]);
    w.say(bot(0), None, &[&k]);
    w.say(retire(2), Some(day(5)), &[&k]);
    w.say(supersede(Subject::Building(building(3)), registered[3]), None, &[&k]);
    w.say(
        Body::AuthoritySuspended(AuthoritySuspended { authority: authority(3), reason: StandingReason::Decision }),
        None,
        &[&root],
    );
    let mut draft = w.draft(succeed(4, 1), Some(day(1)));
    draft.basis = Some(basis());
    w.offer(&World::sign(draft, &[&root])).unwrap();
    while w.time() < START + 11_000 {
        w.commit();
    }
    let (chat, void_building) = (main, registered[3]);
    Scene { w, k, chat, closed, declared, suspended, void, registration, management, ended, end, void_building }
}

fn revoked(key: &SigningKey) -> Body {
    let key = PublicKey::of(key).thumb();
    Body::KeyRevoked(KeyRevoked { key, reason: RevokeReason::Superseded, suspect_from: None })
}
fn end_of(n: usize, management: RecordId) -> Body {
    Body::ManagementEnded(ManagementEnded { building: building(n), management, goes_on: None })
}
fn supersede(subject: Subject, record: RecordId) -> Body {
    Body::RecordSuperseded(RecordSuperseded { subject, record })
}
fn admin(chat: ChatNumber, firm: usize) -> Body {
    Body::AdminDelegated(Admin { chat, organisation: company(firm) })
}
fn bot(owner: usize) -> Body {
    let bot = BotName::new("@dom_bot").unwrap();
    Body::BotAttested(BotAttested { bot, title: text("Бот"), authority: authority(owner), chats: None })
}
fn retire(n: usize) -> Body {
    Body::BuildingRetired(BuildingRetired { building: building(n), reason: RetireReason::Demolished, into: None })
}
fn succeed(a: usize, b: usize) -> Body {
    Body::AuthoritySucceeded(AuthoritySucceeded { authority: authority(a), successor: authority(b) })
}
fn became(n: usize, reason: RetireReason, into: &[usize]) -> Body {
    let into = Some(List(into.iter().map(|n| building(*n)).collect()));
    Body::BuildingRetired(BuildingRetired { building: building(n), reason, into })
}
fn threshold(region: &str) -> Body {
    Body::ApplicabilitySet(ApplicabilitySet { region: region.parse().unwrap(), above_flats: 12 })
}
fn fake(handle: usize) -> Imitation {
    Imitation::Link(link(handle))
}
fn flag(imitation: Imitation, imitates: ChatNumber) -> Body {
    Body::ImpersonationFlagged(ImpersonationFlagged { imitation, imitates, certainty: Certainty::Reported })
}
fn cleared(imitation: Imitation) -> Body {
    Body::ImpersonationCleared(ImpersonationCleared { imitation })
}
/// Objection «вх-7» of day 5, noted where there is no outcome.
fn objection(subject: Subject, outcome: Option<Outcome>, resolved_by: Option<RecordId>) -> Body {
    let (number, date) = (text("вх-7"), day(5));
    Body::ObjectionNoted(ObjectionNoted { subject, number, date, outcome, resolved_by })
}
pub fn register(n: usize) -> Body {
    Body::BuildingRegistered(house(n, "45100000", vec![]))
}
fn chat_new(owner: usize, buildings: &[usize], handle: usize) -> Body {
    Body::ChatRegistered(chat_over(owner, buildings, ChatKind::House, handle))
}

impl Scene {
    /// Signed by authority 0, on day 10.
    pub fn by(&self, body: Body) -> Vec<u8> {
        self.signed(body, &[&self.k])
    }
    fn root(&self, body: Body) -> Vec<u8> {
        self.signed(body, &[&root_key()])
    }
    fn signed(&self, body: Body, keys: &[&SigningKey]) -> Vec<u8> {
        self.w.entry(body, Some(day(10)), keys)
    }
    /// Signed by the root, with a basis.
    fn decreed(&self, body: Body) -> Vec<u8> {
        let mut draft = self.w.draft(body, Some(day(10)));
        draft.basis = Some(basis());
        World::sign(draft, &[&root_key()])
    }
    /// With the objection of [`objection`] open about the chat: the record that notes it.
    fn disputed(&mut self) -> RecordId {
        let k = self.k.clone();
        self.w.say(objection(Subject::Chat(self.chat), None, None), None, &[&k])
    }
    fn drafted(&self, body: Body, change: impl FnOnce(&mut Draft)) -> Vec<u8> {
        let mut draft = self.w.draft(body, Some(day(10)));
        change(&mut draft);
        World::sign(draft, &[&self.k])
    }
    /// The payload of a good record, changed as text, signed.
    fn json(&self, body: Body, from: &str, to: &str) -> Vec<u8> {
        let payload = Record::encode(self.w.draft(body, Some(day(10)))).unwrap().1;
        let text = String::from_utf8(payload).unwrap();
        assert!(text.contains(from), "{text}");
        Envelope::sign(text.replacen(from, to, 1).into_bytes(), TYP_RECORD, &[&self.k])
    }
    /// A good entry, changed as text.
    fn raw(&self, change: impl FnOnce(String) -> String) -> Vec<u8> {
        change(String::from_utf8(self.by(register(12))).unwrap()).into_bytes()
    }
    /// A good payload under a header of our own, properly signed.
    fn header(&self, header: &str) -> Vec<u8> {
        let payload = Record::encode(self.w.draft(register(12), None)).unwrap().1;
        let head =
            BASE64URL_NOPAD.encode(header.replace("KID", &PublicKey::of(&self.k).thumb().to_string()).as_bytes());
        let payload = BASE64URL_NOPAD.encode(&payload);
        let signature = BASE64URL_NOPAD.encode(&sign_strict(&self.k, format!("{head}.{payload}").as_bytes()));
        format!(r#"{{"payload":"{payload}","signatures":[{{"protected":"{head}","signature":"{signature}"}}]}}"#)
            .into_bytes()
    }
    /// The last record of a chat.
    fn last(&self, chat: ChatNumber) -> RecordId {
        self.w.state.entry(&Subject::Chat(chat)).unwrap().last_record().unwrap()
    }
    fn transfer(&self, to: usize, keys: &[&SigningKey]) -> Vec<u8> {
        self.signed(transfer(self.chat, 0, to), keys)
    }
    fn services(&self, phone: Option<&str>) -> Body {
        let phone = phone.map(|p| Phone::new(p).unwrap());
        let service = Service { kind: ServiceKind::Other, title: text("Дело"), link: None, bot: None, phone };
        Body::ServicesPublished(ServicesPublished { building: building(0), services: List(vec![service]) })
    }
}

pub type Case = (&'static str, &'static str, fn(&mut Scene) -> Vec<u8>);

pub const ENVELOPE: &[Case] = &[
    ("another typ", "envelope.header", |s| s.header(r#"{"alg":"EdDSA","kid":"KID","typ":"domovoi-node+jws"}"#)),
    ("another alg", "envelope.header", |s| s.header(r#"{"alg":"ES256","kid":"KID","typ":"domovoi-record+jws"}"#)),
    ("alg none", "envelope.header", |s| s.header(r#"{"alg":"none","kid":"KID","typ":"domovoi-record+jws"}"#)),
    ("a crit member", "envelope.header", |s| {
        s.header(r#"{"alg":"EdDSA","kid":"KID","typ":"domovoi-record+jws","crit":[]}"#)
    }),
    ("members in another order", "envelope.header", |s| {
        s.header(r#"{"kid":"KID","alg":"EdDSA","typ":"domovoi-record+jws"}"#)
    }),
    ("no typ", "envelope.header", |s| s.header(r#"{"alg":"EdDSA","kid":"KID"}"#)),
    ("white space in the header", "envelope.header", |s| {
        s.header(r#"{"alg":"EdDSA", "kid":"KID","typ":"domovoi-record+jws"}"#)
    }),
    ("a kid that is no thumbprint", "envelope.header", |s| {
        s.header(r#"{"alg":"EdDSA","kid":"root","typ":"domovoi-record+jws"}"#)
    }),
    ("a node's envelope", "envelope.header", |s| Envelope::sign(b"{}".to_vec(), TYP_NODE, &[&s.k])),
    ("white space in the envelope", "envelope.malformed", |s| s.raw(|e| e.replacen(',', ", ", 1))),
    ("surplus bytes", "envelope.malformed", |s| s.raw(|e| e + "\n")),
    ("an unprotected header", "envelope.malformed", |s| {
        s.raw(|e| e.replacen("{\"protected\"", "{\"header\":{},\"protected\"", 1))
    }),
    ("no signature", "envelope.malformed", |_| Envelope::unsigned(b"{}".to_vec(), TYP_RECORD).to_bytes()),
    ("padded base64", "envelope.malformed", |s| s.raw(|e| e.replacen("\",\"signatures", "=\",\"signatures", 1))),
    ("base64 with loose bits", "envelope.malformed", |s| {
        s.raw(|e| {
            // 64 bytes end in a character of which only two bits count: B is A with a loose one.
            let end = e.rfind("\"}]}").unwrap();
            let last = e.as_bytes()[end - 1] as char;
            let loose = match last {
                'A' => 'B',
                'Q' => 'R',
                'g' => 'h',
                'w' => 'x',
                other => panic!("{other}"),
            };
            format!("{}{loose}\"}}]}}", &e[..end - 1])
        })
    }),
    ("a signature cut short", "envelope.malformed", |s| s.raw(|e| e.replacen("\"}]}", "", 1))),
    ("signatures out of order", "envelope.signature_order", |s| {
        let two = s.signed(register(12), &[&s.k, &root_key()]);
        let mut e = Envelope::parse(&two, TYP_RECORD, MAX_ENTRY).unwrap();
        e.signatures.reverse();
        e.to_bytes()
    }),
    ("one key twice", "envelope.signature_order", |s| {
        let mut e = Envelope::parse(&s.by(register(12)), TYP_RECORD, MAX_ENTRY).unwrap();
        e.signatures.push(e.signatures[0]);
        e.to_bytes()
    }),
    ("nine signatures", "envelope.malformed", |s| {
        s.signed(register(12), &(100..109).map(key).collect::<Vec<_>>().iter().collect::<Vec<_>>())
    }),
    ("64 kB", "envelope.too_large", |_| vec![b'x'; MAX_PROOF_ENTRY + 1]),
    ("a bad signature", "signature.invalid", |s| {
        let mut e = Envelope::parse(&s.by(register(12)), TYP_RECORD, MAX_ENTRY).unwrap();
        e.signatures[0].1[3] ^= 1;
        e.to_bytes()
    }),
];

pub const PAYLOAD: &[Case] = &[
    ("a member twice", "record.payload", |s| s.json(register(12), r#"{"v":0"#, r#"{"v":0,"v":0"#)),
    ("an unknown member", "record.payload", |s| s.json(register(12), r#"{"v":0"#, r#"{"v":0,"w":0"#)),
    ("an array for the object", "record.payload", |s| {
        Envelope::sign(br#"[0,"bot.withdrawn","x",1,2,{"bot":"@dom_bot"}]"#.to_vec(), TYP_RECORD, &[&s.k])
    }),
    ("bytes after the object", "record.payload", |s| s.json(register(12), r#""flats":60}}"#, r#""flats":60}} x"#)),
    ("a number of 2^53", "record.payload", |s| {
        s.json(register(12), r#""issued_at":1"#, r#""issued_at":9007199254740992,"x":1"#)
    }),
    ("a fraction", "record.payload", |s| s.json(register(12), r#""v":0"#, r#""v":0.0"#)),
    ("a day that is none", "record.payload", |s| s.json(register(12), "2025-01-11", "2025-02-30")),
    ("no UTF-8", "record.payload", |s| Envelope::sign(b"{\"v\":0,\"type\":\"\xff\"}".to_vec(), TYP_RECORD, &[&s.k])),
    ("a basis as an array", "record.payload", |s| s.json(register(12), r#""body""#, r#""basis":["order"],"body""#)),
    ("a word as an object", "record.payload", |s| {
        s.json(register(12), r#""body""#, r#""basis":{"kind":{"order":null}},"body""#)
    }),
    ("an unknown version", "record.version", |s| s.json(register(12), r#""v":0"#, r#""v":1"#)),
    ("an unknown version with unknown members", "record.version", |s| {
        s.json(register(12), r#""v":0"#, r#""w":0,"v":1"#)
    }),
    ("an unknown type", "record.type", |s| s.json(register(12), "building.registered", "building.renamed")),
    ("a body member twice", "record.body", |s| s.json(register(12), r#""flats":60"#, r#""flats":60,"flats":60"#)),
    ("an unknown body member", "record.body", |s| s.json(register(12), r#""flats":60"#, r#""floor":60"#)),
    ("a body as an array", "record.body", |s| {
        let name = BotName::new("@dom_bot").unwrap();
        s.json(Body::BotWithdrawn(BotWithdrawn { bot: name }), r#"{"bot":"@dom_bot"}"#, r#"["@dom_bot"]"#)
    }),
    ("a service as an array", "record.body", |s| {
        s.json(s.services(Some("112")), r#"{"kind":"other","title":"Дело","phone":"112"}"#, r#"["other","Дело"]"#)
    }),
    ("a body word as an object", "record.body", |s| {
        s.json(register(12), r#""kind":"apartment""#, r#""kind":{"apartment":null}"#)
    }),
    ("text that is not NFC", "record.body", |s| s.json(register(12), "Ленина", "и\u{306}")),
    ("text that is not NFC, escaped", "record.body", |s| s.json(register(12), "Ленина", r"\u0438\u0306")),
    ("a lone surrogate", "record.body", |s| s.json(register(12), "Ленина", r"\ud800")),
    ("an imitation of no kind", "record.body", |s| s.json(flag(fake(40), s.chat), "link:", "ink:")),
    ("an exception as an array", "record.body", |s| {
        s.json(register(12), r#""flats":60"#, r#""applicability":["exempt","flats"]"#)
    }),
    ("an exception without a reason", "record.body", |s| {
        s.json(register(12), r#""flats":60"#, r#""applicability":{"state":"exempt"}"#)
    }),
    ("a control character", "record.body", |s| s.json(register(12), "Ленина", r"\u202e")),
    ("deep brackets", "record.body", |s| {
        let deep = format!(r#""also":{}{}"#, "[".repeat(3000), "]".repeat(3000));
        s.json(register(12), r#""also":[]"#, &deep)
    }),
    ("too long a list", "record.body", |s| {
        let many: Vec<String> = (0..17).map(|n| format!("\"{}\"", alias(n))).collect();
        s.json(register(12), r#""also":[]"#, &format!(r#""also":[{}]"#, many.join(",")))
    }),
    ("an entry number of 2^53", "record.body", |s| {
        s.json(
            revoked(&s.k.clone()),
            r#""reason":"superseded""#,
            r#""reason":"superseded","suspect_from":9007199254740992"#,
        )
    }),
    ("a private phone number", "record.body", |s| s.json(s.services(Some("112")), r#""112""#, r#""8 916 123-45-67""#)),
    ("an ОГРН with a wrong checksum", "record.body", |s| {
        s.json(assigned(1, Some(company(0))), company(0).value(), "1027700132190")
    }),
];

/// Codes no record can reach, and why.
const UNREACHABLE: &[(&str, &str)] = &[
    ("rule.type", "every type has a rule; this answers for a type added without one"),
    ("rule.chat.owner", "every chat begins with an owner and none is ever taken away"),
];

#[test]
fn what_is_wrong_is_refused_with_its_code() {
    let scene = scene();
    let all = [ENVELOPE, PAYLOAD, RULES].concat();
    assert_eq!(all.iter().map(|c| c.0).collect::<BTreeSet<_>>().len(), all.len(), "a name twice");
    let mut wrong = Vec::new();
    for (name, code, make) in all {
        let mut s = scene.clone();
        let entry = make(&mut s);
        let pending = s.w.pending.len();
        match s.w.offer(&entry) {
            Err(e) if e.code() == code => {}
            Err(e) => wrong.push(format!("{name}: {code} expected, {e}")),
            Ok(_) => wrong.push(format!("{name}: {code} expected, accepted")),
        }
        assert!(s.w.pending.len() == pending, "{name}");
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    // What the cases start from is good.
    let mut s = scene.clone();
    for entry in [s.by(register(12)), s.by(s.services(Some("112"))), s.transfer(1, &[&s.k, &authority_key(1, 0)])] {
        s.w.offer(&entry).unwrap();
    }
}

/// Two roots must sign where the charter wants two, and two signatures of one do not count twice.
#[test]
fn a_threshold_of_roots_is_a_threshold() {
    let mut w = World::with_authorities(2);
    for keys in [vec![root_key()], vec![key(201)], vec![key(201), authority_key(0, 0)]] {
        let entry = w.entry(enrolled(7), None, &keys.iter().collect::<Vec<_>>());
        assert_eq!(w.offer(&entry).unwrap_err().code(), "rule.signer.root");
    }
    w.say(enrolled(7), None, &[&root_key(), &key(201)]);
}

/// Every code of a rule in the source has a case here, or a reason why it cannot.
#[test]
fn every_rule_has_a_case() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/registry");
    let mut codes = BTreeSet::new();
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|e| e == "rs") {
            let source = std::fs::read_to_string(path).unwrap();
            let literals = source.split('"').filter(|s| s.starts_with("rule.") && s.len() > 5);
            codes.extend(
                literals.filter(|s| s.bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b))).map(str::to_owned),
            );
        }
    }
    assert!(codes.len() > 50);
    // What takes several regions or charters has its cases, by the same codes, in files of its own.
    let elsewhere = [include_str!("../transfer.rs"), include_str!("../charters.rs")];
    let elsewhere = elsewhere.iter().flat_map(|source| source.split('"')).filter(|s| s.starts_with("rule."));
    let cased = RULES.iter().map(|c| c.1).chain(UNREACHABLE.iter().map(|c| c.0));
    let cased: BTreeSet<_> = cased.chain(elsewhere).collect();
    let missing: Vec<_> = codes.iter().filter(|c| !cased.contains(c.as_str())).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}
