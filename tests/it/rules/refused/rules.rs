//! What the rules refuse, each case with its code.

use domovoi::registry::ids::BuildingId;

use super::*;

pub const RULES: &[Case] = &[
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
    ("amending what was succeeded", "rule.authority.succeeded", |s| {
        s.root(Body::AuthorityAmended(AuthorityAmended {
            authority: authority(4),
            name: text("Н"),
            oktmo: List(vec![]),
            short_name: None,
            reinstated: Some(true),
        }))
    }),
    ("a loop of successions", "rule.authority.succeeded", |s| {
        s.w.offer(&s.decreed(succeed(1, 2))).unwrap();
        s.w.offer(&s.decreed(succeed(2, 0))).unwrap();
        s.decreed(succeed(0, 1))
    }),
    ("one succession too many", "rule.authority.chain", |s| {
        for n in 10..11 + MAX_SUCCESSIONS {
            s.w.say(enrolled(n), None, &[&root_key()]);
        }
        for n in 10..10 + MAX_SUCCESSIONS {
            s.w.offer(&s.decreed(succeed(n, n + 1))).unwrap();
        }
        assert_eq!(s.w.overlay().holder(&authority(10)), authority(10 + MAX_SUCCESSIONS));
        s.decreed(succeed(10 + MAX_SUCCESSIONS, 0))
    }),
    ("a threshold by an authority", "rule.signer.root", |s| s.by(threshold("77"))),
    ("a threshold without a basis", "rule.basis", |s| s.root(threshold("77"))),
    ("a threshold without a day", "rule.effective_from", |s| {
        s.drafted(threshold("77"), |d| (d.effective_from, d.basis) = (None, Some(basis())))
    }),
    ("another region's threshold", "rule.applicability.region", |s| s.decreed(threshold("78"))),
    ("suspect records of a key merely replaced", "rule.key.suspect", |s| {
        let key = PublicKey::of(&s.k).thumb();
        s.by(Body::KeyRevoked(KeyRevoked { key, reason: RevokeReason::Superseded, suspect_from: Some(3) }))
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
    ("a key beyond its authority's territory", "rule.key.oktmo", |s| {
        let narrow = AuthorityAmended {
            authority: authority(1),
            name: text("ГЖИ округа"),
            oktmo: List(vec!["4531".parse().unwrap()]),
            short_name: None,
            reinstated: None,
        };
        s.w.offer(&s.root(Body::AuthorityAmended(narrow))).unwrap();
        s.root(Body::KeyGranted(granted(&key(99), 1, "*", "453", START, 1 << 50)))
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
    ("another building's primary id, registered before", "rule.building.id", |s| {
        s.by(Body::BuildingRegistered(house(12, "45100000", vec![building(0)])))
    }),
    ("linking another building's id", "rule.building.id", |s| s.by(linked(0, vec![alias(0)], vec![]))),
    ("linking no id", "rule.link.nothing", |s| s.by(linked(0, vec![], vec![]))),
    ("an id that is its own and is not", "rule.link.twice", |s| s.by(linked(0, vec![alias(5)], vec![alias(5)]))),
    ("too many ids", "rule.link.many", |s| {
        let k = s.k.clone();
        s.w.say(linked(0, (10..20).map(alias).collect(), vec![]), None, &[&k]);
        s.by(linked(0, (20..30).map(alias).collect(), vec![]))
    }),
    ("another organisation's id", "rule.organisation.id", |s| {
        let k = s.k.clone();
        s.w.say(same_company(0, 40), None, &[&k]);
        s.by(same_company(1, 40))
    }),
    ("an organisation by a further id", "rule.organisation.alias", |s| {
        let k = s.k.clone();
        s.w.say(same_company(0, 40), None, &[&k]);
        s.by(assigned(1, Some(company(40))))
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
    ("a demolished building that became another", "rule.building.into", |s| {
        s.by(became(4, RetireReason::Demolished, &[1]))
    }),
    ("merged into nothing", "rule.building.into", |s| s.by(became(4, RetireReason::Merged, &[]))),
    ("merged into two", "rule.building.into", |s| s.by(became(4, RetireReason::Merged, &[1, 5]))),
    ("merged into itself", "rule.building.into", |s| s.by(became(4, RetireReason::Merged, &[4]))),
    ("split into one", "rule.building.into", |s| s.by(became(4, RetireReason::Split, &[1]))),
    ("split into the same twice", "rule.building.into", |s| s.by(became(4, RetireReason::Split, &[1, 1]))),
    ("merged into an unknown building", "rule.building.unknown", |s| s.by(became(4, RetireReason::Merged, &[12]))),
    ("merged into a retired building", "rule.building.retired", |s| s.by(became(4, RetireReason::Merged, &[2]))),
    ("merged in a circle", "rule.building.retired", |s| {
        let k = s.k.clone();
        s.w.say(became(4, RetireReason::Merged, &[1]), Some(day(5)), &[&k]);
        s.by(became(1, RetireReason::Merged, &[4]))
    }),
    ("recoding by a key of the old municipality alone", "rule.signer.oktmo", |s| {
        let granted = granted(&key(90), 0, "building.*", "45100000", START, 1 << 50);
        s.w.say(Body::KeyGranted(granted), None, &[&root_key()]);
        s.signed(Body::BuildingAmended(house(4, "45200000", vec![alias(0)])), &[&key(90)])
    }),
    ("recoding into another region", "rule.oktmo.region", |s| {
        s.by(Body::BuildingAmended(house(4, "46000000", vec![alias(0)])))
    }),
    ("nobody has to go on", "rule.management.goes_on", |s| {
        let (k, building) = (s.k.clone(), building(4));
        let management = s.w.say(assigned(4, None), Some(day(1)), &[&k]);
        s.by(Body::ManagementEnded(ManagementEnded { building, management, goes_on: Some(true) }))
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
    ("an entrance without its number", "rule.chat.entrance", |s| {
        let mut b = chat_over(0, &[0], ChatKind::Entrance, 20);
        b.entrance = None;
        s.by(Body::ChatRegistered(b))
    }),
    ("entrance 0", "rule.chat.entrance", |s| {
        let mut b = chat_over(0, &[0], ChatKind::Entrance, 20);
        b.entrance = Some(0);
        s.by(Body::ChatRegistered(b))
    }),
    ("an entrance of two houses", "rule.chat.entrance", |s| s.by(declared_over(0, &[0, 1], ChatKind::Entrance, 20))),
    ("a house chat of an entrance", "rule.chat.entrance", |s| {
        let mut b = amended(s.chat);
        b.entrance = Some(2);
        s.by(Body::ChatAmended(b))
    }),
    ("a second chat of an entrance", "rule.chat.one_per_house", |s| {
        let k = s.k.clone();
        w_chat(s, &k);
        s.by(Body::ChatRegistered(chat_over(0, &[0], ChatKind::Entrance, 31)))
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
    ("replaced by a chat of another house", "rule.chat.successor", |s| {
        let k = s.k.clone();
        s.w.say(chat_new(0, &[1], 20), Some(day(1)), &[&k]);
        let other = ChatNumber::derive("77".parse().unwrap(), &s.w.pending.last().unwrap().1.record().id.0);
        s.by(Body::ChatReplaced(ChatReplaced { chat: s.closed, successor: other }))
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
    ("flagging another's imitation", "rule.signer.authority", |s| {
        s.signed(flag(fake(40), s.chat), &[&authority_key(1, 0)])
    }),
    ("flagging an official link", "rule.imitation.official", |s| s.by(flag(fake(8), s.chat))),
    ("flagging a declared link", "rule.imitation.official", |s| s.by(flag(fake(7), s.chat))),
    ("flagging an official chat id", "rule.imitation.official", |s| {
        let (k, mut b) = (s.k.clone(), amended(s.chat));
        b.max = Some(MaxChatId(-5));
        s.w.say(Body::ChatAmended(b), None, &[&k]);
        s.by(flag(Imitation::Max(MaxChatId(-5)), s.chat))
    }),
    ("flagged as imitating a closed chat", "rule.chat.ended", |s| s.by(flag(fake(40), s.closed))),
    ("flagged twice", "rule.imitation.flagged", |s| {
        let k = s.k.clone();
        s.w.say(flag(fake(40), s.chat), None, &[&k]);
        s.by(flag(fake(40), s.chat))
    }),
    ("another's flag overruled", "rule.signer.authority", |s| {
        let (k, other) = (s.k.clone(), authority_key(1, 0));
        s.w.say(flag(fake(40), s.chat), None, &[&k]);
        let id = s.w.say(chat_new(1, &[1], 20), Some(day(1)), &[&other]);
        s.signed(flag(fake(40), ChatNumber::derive("77".parse().unwrap(), &id.0)), &[&other])
    }),
    ("clearing what is not flagged", "rule.imitation.unknown", |s| s.by(cleared(fake(40)))),
    ("clearing another's flag", "rule.signer.authority", |s| {
        let k = s.k.clone();
        s.w.say(flag(fake(40), s.chat), None, &[&k]);
        s.signed(cleared(fake(40)), &[&authority_key(1, 0)])
    }),
    ("an objection to a bot", "rule.objection.subject", |s| {
        s.by(objection(Subject::Bot(BotName::new("@dom_bot").unwrap()), None, None))
    }),
    ("an objection to an unknown chat", "rule.objection.subject", |s| {
        s.by(objection(Subject::Chat(ChatNumber::derive("77".parse().unwrap(), &[3; 32])), None, None))
    }),
    ("an objection noted by another", "rule.signer.authority", |s| {
        s.signed(objection(Subject::Chat(s.chat), None, None), &[&authority_key(1, 0)])
    }),
    ("an objection twice", "rule.objection.open", |s| {
        s.disputed();
        s.by(objection(Subject::Chat(s.chat), None, None))
    }),
    ("settling what was not noted", "rule.objection.unknown", |s| {
        s.disputed();
        s.by(objection(Subject::Building(building(0)), Some(Outcome::Upheld), Some(s.registration)))
    }),
    ("settled by an earlier record", "rule.objection.outcome", |s| {
        s.disputed();
        s.by(objection(Subject::Chat(s.chat), Some(Outcome::Upheld), Some(s.registration)))
    }),
    ("settled by its own record", "rule.objection.outcome", |s| {
        let noted = s.disputed();
        s.by(objection(Subject::Chat(s.chat), Some(Outcome::Upheld), Some(noted)))
    }),
    ("settled by a record that is not", "rule.objection.outcome", |s| {
        s.disputed();
        s.by(objection(Subject::Chat(s.chat), Some(Outcome::Upheld), Some(RecordId([8; 32]))))
    }),
    ("settled without an outcome", "rule.objection.outcome", |s| {
        s.disputed();
        s.by(objection(Subject::Chat(s.chat), None, Some(s.registration)))
    }),
    ("rejected without a basis", "rule.objection.outcome", |s| {
        s.disputed();
        s.by(objection(Subject::Chat(s.chat), Some(Outcome::Rejected), None))
    }),
    ("settled before it came in", "rule.objection.outcome", |s| {
        s.disputed();
        let body = objection(Subject::Chat(s.chat), Some(Outcome::Rejected), None);
        s.drafted(body, |d| (d.effective_from, d.basis) = (Some(day(4)), Some(basis())))
    }),
    ("settled on no day", "rule.effective_from", |s| {
        s.disputed();
        s.drafted(objection(Subject::Chat(s.chat), Some(Outcome::Rejected), None), |d| d.effective_from = None)
    }),
    ("reopening a house that has a chat since", "rule.chat.one_per_house", |s| {
        let (k, closing) = (s.k.clone(), s.last(s.closed));
        s.w.say(chat_new(0, &[6], 20), Some(day(3)), &[&k]);
        s.by(supersede(Subject::Chat(s.closed), closing))
    }),
    ("reopening a chat whose link another has since", "rule.chat.taken", |s| {
        let (k, closing) = (s.k.clone(), s.last(s.closed));
        s.w.say(chat_new(0, &[1], 6), Some(day(3)), &[&k]);
        s.by(supersede(Subject::Chat(s.closed), closing))
    }),
    ("reopening a chat of no house", "rule.building.retired", |s| {
        let (k, closing) = (s.k.clone(), s.last(s.closed));
        s.w.say(retire(6), Some(day(3)), &[&k]);
        s.by(supersede(Subject::Chat(s.closed), closing))
    }),
    ("superseding a chat that another was replaced by", "rule.supersede.dependants", |s| {
        let k = s.k.clone();
        let id = s.w.say(chat_new(0, &[6], 20), Some(day(3)), &[&k]);
        let successor = ChatNumber::derive("77".parse().unwrap(), &id.0);
        s.w.say(Body::ChatReplaced(ChatReplaced { chat: s.closed, successor }), Some(day(3)), &[&k]);
        s.by(supersede(Subject::Chat(successor), id))
    }),
    ("superseding a chat that something imitates", "rule.supersede.dependants", |s| {
        let k = s.k.clone();
        s.w.say(flag(fake(40), s.chat), None, &[&k]);
        s.by(supersede(Subject::Chat(s.chat), s.registration))
    }),
    ("superseding a building that another became", "rule.supersede.dependants", |s| {
        let k = s.k.clone();
        let id = s.w.say(register(12), None, &[&k]);
        s.w.say(became(4, RetireReason::Merged, &[12]), Some(day(5)), &[&k]);
        s.by(supersede(Subject::Building(building(12)), id))
    }),
    ("superseding a succession", "rule.supersede.kind", |s| {
        let subject = Subject::Authority(authority(4));
        let id = s.w.state.entry(&subject).unwrap().last_record().unwrap();
        s.root(supersede(subject, id))
    }),
    ("superseding a transfer", "rule.supersede.kind", |s| {
        let (k, other) = (s.k.clone(), authority_key(1, 0));
        let id = s.w.say(transfer(s.chat, 0, 1), Some(day(2)), &[&k, &other]);
        s.signed(supersede(Subject::Chat(s.chat), id), &[&other])
    }),
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

fn linked(n: usize, also: Vec<BuildingId>, distinct: Vec<BuildingId>) -> Body {
    let some = |ids: Vec<BuildingId>| (!ids.is_empty()).then_some(List(ids));
    Body::BuildingLinked(BuildingLinked { building: building(n), also: some(also), distinct: some(distinct) })
}

fn same_company(n: usize, also: usize) -> Body {
    let also = Some(List(vec![company(also)]));
    Body::OrganisationLinked(OrganisationLinked { organisation: company(n), also, distinct: None })
}
