//! A region's register in memory, fed as the node is: what an import plans is signed, decoded, verified, checked by the
//! rules, applied and committed. Only the disk is left out.

use std::collections::HashMap;

use domovoi::import::houses::{Houses, Options};
use domovoi::import::plan::{Frame, Planned, Planner};
use domovoi::import::rows::OrganisationRow;
use domovoi::import::snapshot::{self, Work};
use domovoi::import::table::Limits;
use domovoi::import::worklist;
use domovoi::registry::body::{AuthorityEnrolled, Body, KeyBytes, KeyGranted, List};
use domovoi::registry::envelope::{Envelope, TYP_RECORD};
use domovoi::registry::ids::{BuildingId, OrgId, RecordId, RegionCode};
use domovoi::registry::node_record::Commit;
use domovoi::registry::record::{Basis, BasisKind, DecodedRecord, Draft, RECORD_VERSION, Record};
use domovoi::registry::rules::check;
use domovoi::registry::signature::PublicKey;
use domovoi::registry::state::{Jurisdiction, State, View};
use domovoi::registry::text::{Day, Millis, Text};
use domovoi::registry::verify::{KeyRing, verify_records};
use domovoi::tlog::note::NoteSigner;
use ed25519_dalek::SigningKey;
use rayon::prelude::*;

const ORIGIN: &str = "test.example/register";
const AUTHORITY: &str = "ogrn:1027700132195";
const START: u64 = 1_790_000_000_000;

/// The register.
#[derive(Clone)]
pub struct Register {
    pub state: State,
    ring: KeyRing,
    operator: SigningKey,
    region: RegionCode,
    /// Every record of the log, oldest first, without the node's own.
    pub log: Vec<Record>,
}

impl Register {
    /// A region with one authority and its key.
    pub fn new(region: u8) -> Register {
        let [root, commit, operator] = [1u8, 2, 3].map(|n| SigningKey::from_bytes(&[n; 32]));
        let region = RegionCode::new(region).unwrap();
        let oktmo = region.region().unwrap().oktmo.clone();
        let mut ring = KeyRing::default();
        ring.add(&PublicKey::of(&root));
        let state = State::new(Jurisdiction {
            origin: ORIGIN.into(),
            region,
            oktmo: oktmo.clone(),
            root_keys: vec![PublicKey::of(&root)],
            root_threshold: 1,
            commit_key: PublicKey::of(&commit),
            charter_version: 1,
            charter_sha256: RecordId([7; 32]),
            log_key: NoteSigner::new(ORIGIN, SigningKey::from_bytes(&[4; 32])).unwrap().verifier().clone(),
            record_versions: vec![RECORD_VERSION],
            exceptions: Vec::new(),
            others: Vec::new().into(),
        });
        let mut register = Register { state, ring, operator, region, log: Vec::new() };
        let authority: OrgId = AUTHORITY.parse().unwrap();
        let enrolled = Body::AuthorityEnrolled(AuthorityEnrolled {
            authority: authority.clone(),
            name: Text::new("ГЖИ").unwrap(),
            oktmo: List(oktmo.clone()),
            short_name: None,
        });
        let granted = Body::KeyGranted(KeyGranted {
            key: KeyBytes(PublicKey::of(&register.operator)),
            authority,
            scopes: List(vec![Text::new("*").unwrap()]),
            oktmo: List(oktmo),
            not_before: Millis::new(START).unwrap(),
            not_after: Millis::new(1 << 50).unwrap(),
        });
        let founding = [enrolled, granted].map(|body| register.payload(body, None));
        assert!(register.enter(&founding.map(|p| (None, p)), &root).is_empty());
        register
    }

    fn time(&self) -> u64 {
        START + 1000 * self.state.commits().len() as u64
    }

    fn payload(&self, body: Body, from: Option<Day>) -> Vec<u8> {
        let subject = body.subject(&RecordId([0; 32]), self.region);
        let draft = Draft {
            log: ORIGIN.into(),
            issued_at: Millis::new(self.time()).unwrap(),
            submit_before: Millis::new(self.time() + (1 << 40)).unwrap(),
            effective_from: from,
            prev: self.state.entry(&subject).and_then(|e| e.last_record()),
            basis: None,
            batch: None,
            body,
        };
        Record::encode(draft).unwrap().1
    }

    /// One record by the operator, which must be accepted.
    pub fn say(&mut self, body: Body, from: Option<Day>) {
        let payload = self.payload(body, from);
        let refused = self.try_say_payload(payload);
        assert!(refused.is_empty(), "{refused:?}");
    }

    /// One record by the operator; the code of the refusal, if it is refused.
    pub fn try_say(&mut self, body: Body, from: Option<Day>) -> Option<&'static str> {
        let payload = self.payload(body, from);
        self.try_say_payload(payload).first().map(|(_, e)| e.code())
    }

    fn try_say_payload(&mut self, payload: Vec<u8>) -> Vec<(Option<u64>, domovoi::error::Error)> {
        let key = self.operator.clone();
        self.enter(&[(None, payload)], &key)
    }

    /// Signs, verifies, checks and applies, a thousand records a commit; gives what was refused.
    fn enter(
        &mut self,
        payloads: &[(Option<u64>, Vec<u8>)],
        key: &SigningKey,
    ) -> Vec<(Option<u64>, domovoi::error::Error)> {
        let mut refused = Vec::new();
        for chunk in payloads.chunks(4000) {
            let decoded: Vec<DecodedRecord> = chunk
                .par_iter()
                .map(|(_, p)| DecodedRecord::decode(&Envelope::sign(p.clone(), TYP_RECORD, &[key])).expect("decodes"))
                .collect();
            let granted: Vec<Record> = decoded.iter().map(|d| (*d.record).clone()).collect();
            let verified = verify_records(decoded, &self.ring);
            let (time, first) = (self.time(), self.state.size());
            let mut overlay = self.state.overlay();
            let mut at = first;
            for (v, (row, _)) in verified.iter().zip(chunk) {
                let v = v.as_ref().expect("it was signed here");
                match check(&overlay, v, time) {
                    Ok(checked) => {
                        overlay.apply(checked, at);
                        at += 1;
                        self.log.push(v.record().clone());
                    }
                    Err(e) => refused.push((*row, e)),
                }
            }
            let changes = overlay.finish();
            let commit = Commit {
                v: RECORD_VERSION,
                log: ORIGIN.into(),
                first,
                size: at + 1,
                time: Millis::new(time).unwrap(),
                previous: self.state.head().map(|h| h.id),
                charter: 1,
                // The state map is another test's subject.
                root: RecordId([0; 32]),
            };
            self.state.absorb(changes, &commit, RecordId([at as u8; 32]), at);
            granted.iter().for_each(|r| self.ring.add_granted(r));
        }
        refused
    }

    /// What an import of a source of this day has in common.
    pub fn frame(&self, observed: &str) -> Frame {
        let observed: Day = observed.parse().unwrap();
        Frame {
            log: ORIGIN.into(),
            now: Millis::new(self.time()).unwrap(),
            basis: Basis {
                kind: BasisKind::Dataset,
                number: None,
                date: Some(observed),
                issuer: None,
                document_sha256: None,
                signature_sha256: None,
            },
            batch: Text::new("test").unwrap(),
            observed,
            authority: AUTHORITY.parse().unwrap(),
            oktmo: self.region.region().unwrap().oktmo[0].to_string().parse().unwrap(),
            delegate: false,
            attributes: false,
        }
    }

    /// Signs and enters what was planned; gives how many records of each type, and fails on a refusal.
    pub fn submit(&mut self, planned: Vec<Planned>) -> HashMap<&'static str, usize> {
        let mut count = HashMap::new();
        planned.iter().for_each(|p| *count.entry(p.type_name).or_default() += 1);
        let payloads: Vec<_> = planned.into_iter().map(|p| (p.row, p.payload)).collect();
        let key = self.operator.clone();
        let refused = self.enter(&payloads, &key);
        assert!(refused.is_empty(), "{} refused, first {:?}", refused.len(), refused.first());
        count
    }

    /// Reads and plans a snapshot as `domovoi import buildings --observed` does.
    pub fn plan(&self, bytes: &[u8], observed: &str) -> Work {
        let taken = observed.parse().unwrap();
        let options = Options { region: Some(self.region), taken, limits: Limits::default() };
        let reader = Houses::open(bytes, options).expect("opens");
        let read = reader.snapshot().expect("reads");
        snapshot::houses(&self.state, self.frame(observed), read).expect("plans")
    }

    /// Imports a snapshot; gives what was planned (records moved out) and how many records of each type were entered.
    pub fn import(&mut self, bytes: &[u8], observed: &str) -> (Work, HashMap<&'static str, usize>) {
        let mut work = self.plan(bytes, observed);
        let count = self.submit(std::mem::take(&mut work.planned));
        (work, count)
    }

    /// Imports a worklist that was filled in, as `domovoi import links` does.
    pub fn decide(&mut self, table: &[u8], observed: &str) -> (Work, HashMap<&'static str, usize>) {
        let (columns, reads) = worklist::read(table, &Limits::default()).expect("a worklist");
        let frame = self.frame(observed);
        let mut planner = Planner::new(&self.state, frame);
        let mut work = Work::default();
        work.report.columns = columns;
        snapshot::plan_rows(&mut work, &mut planner, reads, |r| r.row, |p, r| p.decide(r));
        let planned = planner.planned;
        let count = self.submit(planned);
        (work, count)
    }

    /// Links the numbers of organisations.
    pub fn organisations(&mut self, rows: &[OrganisationRow], observed: &str) -> Vec<domovoi::import::plan::RowPlan> {
        let mut planner = Planner::new(&self.state, self.frame(observed));
        let plans = rows.iter().map(|r| planner.organisation(r)).collect();
        let planned = planner.planned;
        self.submit(planned);
        plans
    }

    /// The primary id of a building known under any id.
    pub fn primary(&self, id: &str) -> Option<BuildingId> {
        self.state.primary(&id.parse().unwrap())
    }
}
