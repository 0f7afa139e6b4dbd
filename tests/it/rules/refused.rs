//! What is refused, and with which code: one table over envelope, payload and rules.

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use domovoi::registry::body::*;
use domovoi::registry::envelope::{Envelope, MAX_ENTRY, MAX_PROOF_ENTRY, TYP_NODE, TYP_RECORD};
use domovoi::registry::facts::MAX_SPANS;
use domovoi::registry::ids::{ChatNumber, MaxChatId, RecordId};
use domovoi::registry::record::{Draft, Record, Subject};
use domovoi::registry::signature::{PublicKey, sign_strict};
use domovoi::registry::text::Millis;
use ed25519_dalek::SigningKey;

use super::world::*;

/// A region in which something of everything has happened.
#[derive(Clone)]
struct Scene {
    w: World,
    k: SigningKey,
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

fn scene() -> Scene {
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
    Body::ManagementEnded(ManagementEnded { building: building(n), management })
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
fn register(n: usize) -> Body {
    Body::BuildingRegistered(house(n, "45100000", vec![]))
}
fn chat_new(owner: usize, buildings: &[usize], handle: usize) -> Body {
    Body::ChatRegistered(chat_over(owner, buildings, ChatKind::House, handle))
}

impl Scene {
    /// Signed by authority 0, on day 10.
    fn by(&self, body: Body) -> Vec<u8> {
        self.signed(body, &[&self.k])
    }
    fn root(&self, body: Body) -> Vec<u8> {
        self.signed(body, &[&root_key()])
    }
    fn signed(&self, body: Body, keys: &[&SigningKey]) -> Vec<u8> {
        self.w.entry(body, Some(day(10)), keys)
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
    fn transfer(&self, to: usize, keys: &[&SigningKey]) -> Vec<u8> {
        self.signed(transfer(self.chat, 0, to), keys)
    }
    fn services(&self, phone: Option<&str>) -> Body {
        let phone = phone.map(|p| Phone::new(p).unwrap());
        let service = Service { kind: ServiceKind::Other, title: text("Дело"), link: None, bot: None, phone };
        Body::ServicesPublished(ServicesPublished { building: building(0), services: List(vec![service]) })
    }
}

type Case = (&'static str, &'static str, fn(&mut Scene) -> Vec<u8>);

const ENVELOPE: &[Case] = &[
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

const PAYLOAD: &[Case] = &[
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

const RULES: &[Case] = &[
    ("another log", "rule.log", |s| s.drafted(register(12), |d| d.log = "test.example/log/78".into())),
    ("said already", "rule.known", |s| s.w.log[s.w.accepted[3].0 as usize].clone()),
    ("too late", "rule.deadline", |s| {
        let t = s.w.time();
        s.drafted(register(12), |d| d.submit_before = Millis::new(t - 1).unwrap())
    }),
    ("an older state", "rule.stale", |s| s.drafted(assigned(0, None), |d| d.prev = Some(RecordId([1; 32])))),
    ("no earlier record named", "rule.stale", |s| s.drafted(assigned(0, None), |d| d.prev = None)),
    ("no day", "rule.effective_from", |s| s.drafted(Body::ChatClosed(standing(s.chat)), |d| d.effective_from = None)),
    ("an unknown key", "rule.key.unknown", |s| s.signed(register(12), &[&key(250)])),
    ("a good and an unknown key", "rule.key.unknown", |s| s.signed(register(12), &[&s.k, &key(250)])),
    ("a revoked key", "rule.key.revoked", |s| s.signed(register(12), &[&authority_key(0, 5)])),
    ("revoked twice", "rule.key.revoked", |s| s.by(revoked(&authority_key(0, 5)))),
    ("an expired key", "rule.key.time", |s| s.signed(register(12), &[&authority_key(0, 2)])),
    ("beyond the scope", "rule.key.scope", |s| s.signed(register(12), &[&authority_key(0, 1)])),
    ("a suspended authority's key", "rule.authority.suspended", |s| s.signed(register(12), &[&authority_key(3, 0)])),
    ("a succeeded authority's key", "rule.authority.succeeded", |s| s.signed(register(12), &[&authority_key(4, 0)])),
    ("a key for a stranger", "rule.authority.unknown", |s| {
        s.root(Body::KeyGranted(granted(&key(99), 8, "*", "45", START, 1 << 50)))
    }),
    ("amending a stranger", "rule.authority.unknown", |s| {
        s.root(Body::AuthorityAmended(AuthorityAmended {
            authority: authority(8),
            name: text("Н"),
            oktmo: List(vec![]),
            short_name: None,
            reinstated: None,
        }))
    }),
    ("enrolled by an authority", "rule.signer.root", |s| s.by(enrolled(8))),
    ("enrolled twice", "rule.exists", |s| s.root(enrolled(0))),
    ("succession without a basis", "rule.basis", |s| s.root(succeed(0, 1))),
    ("succession to itself", "rule.authority.succession", |s| {
        let mut d = s.w.draft(succeed(0, 0), Some(day(1)));
        d.basis = Some(basis());
        World::sign(d, &[&root_key()])
    }),
    ("succession of what has a successor", "rule.authority.succession", |s| {
        let mut d = s.w.draft(succeed(4, 0), Some(day(1)));
        d.basis = Some(basis());
        World::sign(d, &[&root_key()])
    }),
    ("succession to what has a successor", "rule.authority.succeeded", |s| {
        let mut d = s.w.draft(succeed(1, 4), Some(day(1)));
        d.basis = Some(basis());
        World::sign(d, &[&root_key()])
    }),
    ("a key without a known scope", "rule.key.scopes", |s| {
        s.root(Body::KeyGranted(granted(&key(99), 0, "chat", "45", START, 1 << 50)))
    }),
    ("a key with an empty window", "rule.key.window", |s| {
        s.root(Body::KeyGranted(granted(&key(99), 0, "*", "45", START, START)))
    }),
    ("the commit key as an authority's", "rule.key.role", |s| {
        s.root(Body::KeyGranted(granted(&commit_key(), 0, "*", "45", START, 1 << 50)))
    }),
    ("a key for another region", "rule.oktmo.region", |s| {
        s.root(Body::KeyGranted(granted(&key(99), 0, "*", "46", START, 1 << 50)))
    }),
    ("a revocation by another authority", "rule.signer.authority", |s| {
        s.signed(revoked(&authority_key(0, 1)), &[&authority_key(1, 0)])
    }),
    ("a name by the root", "rule.signer.any", |s| {
        s.root(Body::OrganisationNamed(OrganisationNamed { organisation: company(0), name: text("УК") }))
    }),
    ("a building of another region", "rule.oktmo.region", |s| {
        s.by(Body::BuildingRegistered(house(12, "46100000", vec![])))
    }),
    ("a building beyond the key", "rule.signer.oktmo", |s| s.root(register(12))),
    ("another building's id", "rule.building.id", |s| {
        s.by(Body::BuildingRegistered(house(12, "45100000", vec![alias(0)])))
    }),
    ("a registered building", "rule.exists", |s| s.by(register(0))),
    ("an unknown building", "rule.building.unknown", |s| s.by(assigned(12, None))),
    ("a retired building", "rule.building.retired", |s| s.by(assigned(2, None))),
    ("a void building", "rule.building.void", |s| s.by(assigned(3, None))),
    ("retiring a building with a chat", "rule.building.has_chat", |s| s.by(retire(0))),
    ("retiring the last building of a chat", "rule.building.has_chat", |s| {
        let k = s.k.clone();
        s.w.say(chat_new(0, &[1, 4], 20), Some(day(1)), &[&k]);
        s.w.say(retire(1), Some(day(5)), &[&k]);
        s.by(retire(4))
    }),
    ("a company without a name", "rule.management.organisation", |s| {
        s.by(Body::ManagementAssigned(ManagementAssigned {
            building: building(0),
            form: ManagementForm::Company,
            organisation: None,
            contract: None,
            licence: None,
        }))
    }),
    ("managed already", "rule.management.open", |s| s.by(assigned(0, Some(company(0))))),
    ("undoing an end after the return", "rule.management.open", |s| {
        let k = s.k.clone();
        s.w.say(assigned(1, Some(company(0))), Some(day(12)), &[&k]);
        s.by(supersede(Subject::Building(building(1)), s.end))
    }),
    ("ending what is not", "rule.management.unknown", |s| s.by(end_of(0, RecordId([5; 32])))),
    ("ended already", "rule.management.ended", |s| s.by(end_of(1, s.ended))),
    ("ended before it began", "rule.management.order", |s| s.w.entry(end_of(0, s.management), Some(day(0)), &[&s.k])),
    ("an unknown chat", "rule.chat.unknown", |s| {
        s.by(Body::ChatAmended(amended(ChatNumber::derive("77".parse().unwrap(), &[3; 32]))))
    }),
    ("a closed chat", "rule.chat.ended", |s| s.by(Body::ChatAmended(amended(s.closed)))),
    ("a void chat", "rule.chat.ended", |s| s.by(Body::ChatAmended(amended(s.void)))),
    ("a chat over nothing", "rule.chat.buildings", |s| s.by(chat_new(0, &[], 20))),
    ("a building twice", "rule.chat.buildings", |s| s.by(chat_new(0, &[1, 1], 20))),
    ("a second house chat", "rule.chat.one_per_house", |s| s.by(chat_new(0, &[1, 0], 20))),
    ("a house chat beside a suspended one", "rule.chat.one_per_house", |s| s.by(chat_new(0, &[8], 20))),
    ("spreading over a house that has one", "rule.chat.one_per_house", |s| {
        let mut b = amended(s.chat);
        b.buildings = Some(List(vec![building(0), building(8)]));
        s.by(Body::ChatAmended(b))
    }),
    ("no link and no id", "rule.chat.handle", |s| {
        let mut b = chat_over(0, &[1], ChatKind::House, 20);
        b.link = None;
        s.by(Body::ChatRegistered(b))
    }),
    ("another chat's link", "rule.chat.taken", |s| s.by(chat_new(0, &[1], 0))),
    ("a declared chat's link", "rule.chat.taken", |s| s.by(chat_new(0, &[1], 7))),
    ("another chat's id", "rule.chat.taken", |s| {
        let (k, mut b) = (s.k.clone(), amended(s.chat));
        b.max = Some(MaxChatId(-5));
        s.w.say(Body::ChatAmended(b), None, &[&k]);
        let mut b = chat_over(0, &[1], ChatKind::House, 20);
        b.max = Some(MaxChatId(-5));
        s.by(Body::ChatRegistered(b))
    }),
    ("taking over what is not declared", "rule.chat.declared", |s| {
        let mut b = chat_over(0, &[6], ChatKind::House, 20);
        b.declared = Some(s.closed);
        s.by(Body::ChatRegistered(b))
    }),
    ("taking over another's declared chat", "rule.chat.declared", |s| {
        let mut b = chat_over(1, &[7], ChatKind::House, 20);
        b.declared = Some(s.declared);
        s.signed(Body::ChatRegistered(b), &[&authority_key(1, 0)])
    }),
    ("restoring what is not suspended", "rule.chat.standing", |s| s.by(Body::ChatRestored(standing(s.chat)))),
    ("suspending twice", "rule.chat.standing", |s| s.by(Body::ChatSuspended(standing(s.suspended)))),
    ("replaced by itself", "rule.chat.successor", |s| {
        s.by(Body::ChatReplaced(ChatReplaced { chat: s.chat, successor: s.chat }))
    }),
    ("replaced by a closed chat", "rule.chat.successor", |s| {
        let k = s.k.clone();
        let entrance = w_chat(s, &k);
        s.w.say(Body::ChatClosed(standing(entrance)), Some(day(2)), &[&k]);
        s.by(Body::ChatReplaced(ChatReplaced { chat: s.chat, successor: entrance }))
    }),
    ("another authority's chat", "rule.signer.authority", |s| {
        s.signed(Body::ChatClosed(standing(s.chat)), &[&authority_key(1, 0)])
    }),
    ("a chat beyond the key", "rule.signer.authority", |s| s.signed(chat_new(0, &[5], 20), &[&authority_key(0, 1)])),
    ("a transfer by the old owner alone", "rule.signer.authority", |s| s.transfer(1, &[&s.k])),
    ("a transfer by the new owner alone", "rule.signer.authority", |s| s.transfer(1, &[&authority_key(1, 0)])),
    ("a transfer by the root without a basis", "rule.basis", |s| s.transfer(1, &[&root_key()])),
    ("a transfer from a stranger", "rule.transfer.owner", |s| {
        s.signed(transfer(s.chat, 1, 2), &[&authority_key(1, 0), &authority_key(2, 0)])
    }),
    ("a transfer to a suspended authority", "rule.authority.suspended", |s| s.transfer(3, &[&root_key()])),
    ("an administrator who does not manage", "rule.admin.not_managing", |s| s.by(admin(s.chat, 1))),
    ("an administrator twice", "rule.admin.open", |s| s.by(admin(s.chat, 0))),
    ("withdrawn without a delegation", "rule.admin.unknown", |s| {
        s.by(Body::AdminWithdrawn(Admin { chat: s.chat, organisation: company(1) }))
    }),
    ("another authority's bot", "rule.bot.other", |s| s.signed(bot(1), &[&authority_key(1, 0)])),
    ("an unknown bot", "rule.bot.unknown", |s| {
        s.by(Body::BotWithdrawn(BotWithdrawn { bot: BotName::new("@no_bot").unwrap() }))
    }),
    ("a service without a way", "rule.service.way", |s| s.by(s.services(None))),
    ("superseding what others rest on", "rule.supersede.dependants", |s| {
        let id =
            s.w.accepted
                .iter()
                .find(|(.., v)| subject_of(v.record()) == Subject::Building(building(0)))
                .unwrap()
                .2
                .record()
                .id;
        s.by(supersede(Subject::Building(building(0)), id))
    }),
    ("superseding twice", "rule.supersede.done", |s| s.by(supersede(Subject::Building(building(3)), s.void_building))),
    ("superseding a record of another subject", "rule.supersede.kind", |s| {
        s.by(supersede(Subject::Building(building(1)), s.management))
    }),
    ("superseding a chat that was handed on", "rule.supersede.kind", |s| {
        let (k, other) = (s.k.clone(), authority_key(1, 0));
        s.w.say(transfer(s.chat, 0, 1), Some(day(2)), &[&k, &other]);
        s.signed(supersede(Subject::Chat(s.chat), s.registration), &[&other])
    }),
    ("superseding a revocation", "rule.supersede.kind", |s| {
        let kid = PublicKey::of(&authority_key(0, 5)).thumb();
        s.by(supersede(Subject::Key(kid), RecordId([1; 32])))
    }),
    ("too many periods", "rule.spans", |s| {
        let k = s.k.clone();
        for n in 0..MAX_SPANS {
            s.w.say(
                Body::OrganisationNamed(OrganisationNamed {
                    organisation: company(0), name: text(&format!("УК {n}"))
                }),
                None,
                &[&k],
            );
            if n % 16 == 15 {
                s.w.commit();
            }
        }
        s.by(Body::OrganisationNamed(OrganisationNamed { organisation: company(0), name: text("УК") }))
    }),
];

fn w_chat(s: &mut Scene, k: &SigningKey) -> ChatNumber {
    let id = s.w.say(Body::ChatRegistered(chat_over(0, &[0], ChatKind::Entrance, 30)), Some(day(1)), &[k]);
    ChatNumber::derive("77".parse().unwrap(), &id.0)
}

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
