//! The verifier in JavaScript passes the vectors of the Rust one, in the browser, from the files a node serves.

use super::*;

fn read(vectors: &str) -> Value {
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(vectors)).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// Runs an expression over vectors on a node's own page.
fn run(vectors: &Value, script: &str) -> Value {
    let text = Value::String(vectors.to_string());
    let node = crate::node::Node::moscow();
    let mut browser = Browser::start();
    browser.open(&format!("{}/check", node.url()));
    browser.eval(&format!(
        "(async () => {{
            const v = await import('/assets/verify.js');
            const f = JSON.parse({text});
            const bytes = (c, what) => c[what + '_hex']
                ? Uint8Array.from(c[what + '_hex'].match(/../g), (pair) => parseInt(pair, 16))
                : new TextEncoder().encode(c[what]);
            // What went otherwise: [list, name, what was to be said, what was said].
            const wrong = [];
            const counts = {{}};
            const cases = async (list, work, wanted) => {{
                for (const c of f[list]) {{
                    let said;
                    try {{ said = await work(c); }} catch (e) {{ said = e instanceof v.Refused ? e.code : String(e.stack); }}
                    if (plain(said) !== plain(wanted(c))) wrong.push([list, c.name, wanted(c), said]);
                }}
                counts[list] = f[list].length;
            }};
            const sorted = (k, x) => x && typeof x === 'object' && !Array.isArray(x) ? Object.fromEntries(Object.entries(x).sort()) : x;
            const plain = (x) => JSON.stringify(x, sorted);
            {script}
            return {{ wrong, counts }};
        }})()"
    ))
}

#[test]
fn status_proofs() {
    let got = run(
        &read("status/vectors.json"),
        "const charters = await v.Charters.read(f.charters);
        const by = await Promise.all(f.cosigners.map((key) => v.readVkey(key, 4)));
        const verify = async (c) => v.sayStatus(await v.verifyStatusProof(await v.readStatusProof(c.proof), charters, by));
        // The sentences are the page's; owner, houses and titles are compared by what the sentences hold.
        const says = ['about', 'known', 'state', 'log', 'region', 'size', 'as_of', 'seen_at', 'cosigned'];
        const only = (said) => Object.fromEntries(says.map((name) => [name, said[name]]));
        await cases('valid', async (c) => {
            const said = await verify(c);
            const words = JSON.stringify(c.says.recorded);
            for (const chat of said.chats) {
                const named = [chat.chat, chat.title, chat.owner.name, ...chat.buildings.map((b) => b.id + (b.address ? ' — ' + b.address : ' (адреса'))];
                const missing = named.filter((name) => !words.includes(name));
                if (missing.length) return missing;
            }
            return only(said);
        }, (c) => only(c.says));
        await cases('invalid', verify, (c) => c.code);",
    );
    assert_eq!(got["wrong"], json!([]), "{got:#}");
    assert!(
        got["counts"]["valid"].as_u64().unwrap() >= 15 && got["counts"]["invalid"].as_u64().unwrap() >= 100,
        "{got}"
    );
}

#[test]
fn buckets() {
    let got = run(
        &read("bucket/vectors.json"),
        "const log = await (await v.Charters.read([f.charter])).federation();
        const digest = (c) => v.digestOf(v.canonicalLink(c.link));
        const ask = async (c) => v.bucketName(await digest(c), (await v.verifyHead(v.readHead(bytes(c, 'head')), log)).bits);
        const answer = async (c) => {
            const { time, ...said } = await v.answerOf(v.readBucket(bytes(c, 'bucket')), log, await digest(c), c.now);
            return said;
        };
        await cases('heads', ask, (c) => c.asks);
        await cases('buckets', answer, (c) => c.says);
        await cases('invalid_heads', ask, (c) => c.code);
        await cases('invalid_buckets', answer, (c) => c.code);",
    );
    assert_eq!(got["wrong"], json!([]), "{got:#}");
    let count = |list: &str| got["counts"][list].as_u64().unwrap();
    assert!(
        count("heads") + count("buckets") >= 25 && count("invalid_heads") + count("invalid_buckets") >= 100,
        "{got}"
    );
}

#[test]
fn pasted_links() {
    let got = run(
        &read("links.json"),
        "f.all = f;
        const read = async (c) => { try { return v.canonicalLink(c.pasted); } catch (e) { return e.reason; } };
        await cases('all', read, (c) => c.canonical ?? c.reason);",
    );
    assert_eq!(got["wrong"], json!([]), "{got:#}");
    assert!(got["counts"]["all"].as_u64().unwrap() >= 80, "{got}");
}

/// The negative vectors of a node and its followers, as far as they are of what a browser reads.
#[test]
fn charters_notes_checkpoints_keys_paths_and_ids() {
    let mut cases = Vec::new();
    for file in ["charters", "checkpoints", "ids", "tiles"] {
        cases.extend(read(&format!("negative/{file}.json"))["cases"].as_array().unwrap().clone());
    }
    let got = run(
        &json!({ "all": cases }),
        "const [b, log, forms] = await Promise.all(['bytes', 'log', 'forms'].map((n) => import(`/assets/${n}.js`)));
        const refused = (code) => { throw new v.Refused(code, ''); };
        const text = ({ what, input }) => {
            const repeated = input.utf8?.repeat(input.times ?? 1);
            return repeated ?? b.textOf(b.unbase64(input.base64)) ?? refused(`${what}.utf8`);
        };
        const work = {
            charter: async (c) => {
                const chain = new v.Charters();
                if (c.previous) await chain.add(text({ what: c.what, input: c.previous }));
                // In a chain the same version again is nothing new; as the next one it is out of sequence.
                if (await chain.add(text(c))) refused('charter.sequence');
            },
            note: async (c) => log.verifyNote(log.readNote(text(c)), await v.readVkey(c.vkey)),
            checkpoint: async (c) => log.openCheckpoint(text(c), await v.readVkey(c.vkey), c.origin),
            vkey: async (c) => v.readVkey(text(c)),
            inclusion: async (c) => {
                const [leaf, root, ...path] = [c.leaf, c.root, ...c.proof].map(b.unhex32);
                return log.verifyInclusion(leaf, BigInt(c.index), BigInt(c.size), path, root);
            },
        };
        // What has one spelling either fits or does not: the codes are those of the structures around.
        const names = { building_id: 'building', organisation_id: 'organisation', oktmo: 'oktmo', oktmo_prefix: 'prefix',
            region: 'region', record_id: 'hash', link_digest: 'hash', key_id: 'kid', max_chat_id: 'max', chat_number: 'chat',
            phone: 'phone', bot: 'bot', day: 'day', text: 'text' };
        f.all = f.all.filter((c) => c.what in work || c.what in names);
        await cases('all', async (c) => {
            if (c.what in names) return forms.fits(text(c), names[c.what]) ? null : (c.code ?? 'refused');
            await work[c.what](c);
            return null;
        }, (c) => c.code);",
    );
    assert_eq!(got["wrong"], json!([]), "{got:#}");
    assert!(got["counts"]["all"].as_u64().unwrap() >= 200, "{got}");
}

/// What the scripts hold of Rust's tables is the same.
#[test]
fn tables_are_those_of_the_node() {
    let (link, letters) =
        (include_str!("../../../src/http/pages/assets/link.js"), include_str!("../../vectors/link_letters.json"));
    let letters: std::collections::BTreeMap<String, String> = serde_json::from_str(letters).unwrap();
    assert!(letters.values().all(|l| link.contains(&format!(": \"{l}\","))), "{letters:?}");
    let forms = include_str!("../../../src/http/pages/assets/forms.js");
    let held: Vec<&str> = forms
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split('"').next())
        .take_while(|line| line.starts_with(|c: char| c.is_ascii_digit()))
        .flat_map(|line| line.split_whitespace())
        .collect();
    let own = domovoi::registry::regions::all();
    let own: Vec<String> = own.iter().map(|r| format!("{}+{}", r.code, r.utc_offset_hours)).collect();
    assert_eq!(held, own);
}
