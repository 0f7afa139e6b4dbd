//! Heads and buckets that must be refused, each with its code.

use super::*;

/// JSON with one value replaced by what `change` makes of it.
fn edited(json: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(json).unwrap();
    change(&mut value);
    value.to_string()
}

/// The same with one piece of text replaced, which must be there.
fn replaced(json: &str, from: &str, to: &str) -> String {
    assert!(json.contains(from), "no {from} in {json}");
    json.replacen(from, to, 1)
}

fn entry(map: &LinkMap, change: impl FnOnce(&mut FederationCommit)) -> Vec<u8> {
    NodeRecord::Federation(commit_of(map, 14, change)).sign(&commit_key()).unwrap().0
}

/// The commit's payload changed as text, and signed by its own key.
fn resigned(map: &LinkMap, change: impl FnOnce(String) -> String) -> String {
    use domovoi::registry::envelope::{Envelope, TYP_NODE};
    let payload = serde_json::to_string(&NodeRecord::Federation(commit_of(map, 14, |_| {}))).unwrap();
    let entry = Envelope::sign(change(payload).into_bytes(), TYP_NODE, &[&commit_key()]);
    said(&head_over(&entry, 13, &log_key()))
}

fn said(head: &FederationHead) -> String {
    serde_json::to_string(head).unwrap()
}

fn quoted(text: &str) -> Quoted {
    Quoted::new(text.as_bytes()).unwrap()
}

/// What is wrong with a head, in a bucket or alone.
fn logs(map: &LinkMap) -> Vec<(&'static str, &'static str, String)> {
    let good = head(map, |_| {});
    let with = |change: &dyn Fn(&mut FederationHead)| {
        let mut head = good.clone();
        change(&mut head);
        said(&head)
    };
    let signer = |name: &str, key| NoteSigner::new(name, key).unwrap();
    let note = std::str::from_utf8(good.checkpoint.as_bytes()).unwrap().to_owned();
    let flipped = note.replacen(&note[note.len() - 20..note.len() - 18], "AA", 1);
    let older = head_over(&entry(map, |c| c.size = 12), 11, &log_key());
    let committed = domovoi::registry::node_record::Commit {
        v: 0,
        log: ORIGIN.into(),
        first: 12,
        size: 14,
        time: ms(START + HOUR),
        previous: None,
        charter: 1,
        root: none(),
    };
    let listed = domovoi::registry::node_record::FederationRegions { v: 0, log: ORIGIN.into(), regions: List(vec![]) };
    let sign = |record: NodeRecord| record.sign(&commit_key()).unwrap().0;
    let by = |key: SigningKey| NodeRecord::Federation(commit_of(map, 14, |_| {})).sign(&key).unwrap().0;
    let long = "9".repeat(17_000);
    vec![
        (
            "a log of another name",
            "note.unsigned",
            said(&head_over(&entry(map, |_| {}), 13, &signer("other.example/log", key(90)))),
        ),
        (
            "another federation's key",
            "note.unsigned",
            said(&head_over(&entry(map, |_| {}), 13, &signer(ORIGIN, key(92)))),
        ),
        (
            "the log of a region",
            "note.unsigned",
            said(&head_over(&entry(map, |_| {}), 13, &signer(&MOSCOW.origin(), MOSCOW.log()))),
        ),
        ("another signature of the checkpoint", "note.signature", with(&|h| h.checkpoint = quoted(&flipped))),
        (
            "a checkpoint with other line ends",
            "note.control",
            with(&|h| h.checkpoint = quoted(&note.replace('\n', "\r\n"))),
        ),
        ("a checkpoint cut off", "note.newline", with(&|h| h.checkpoint = quoted(&note[..note.len() - 1]))),
        (
            "a checkpoint nobody signed",
            "note.separator",
            with(&|h| h.checkpoint = quoted(note.split("\n\n").next().unwrap()).clone()).replacen("=\"", "=\\n\"", 1),
        ),
        ("a checkpoint with an extension line", "checkpoint.extension", {
            use domovoi::tlog::note::Note;
            let text = format!("{}extension\n", Note::parse(note.as_bytes()).unwrap().text());
            let extended = Note::sign(text, &log_key()).unwrap().to_string();
            with(&|h| h.checkpoint = quoted(&extended))
        }),
        ("an empty checkpoint", "bucket.head", edited(&said(&good), |v| v["checkpoint"] = json!(""))),
        ("a checkpoint that is too long", "bucket.head", edited(&said(&good), |v| v["checkpoint"] = json!(long))),
        ("signed by the log key", "commit.signature", said(&head_over(&by(key(90)), 13, &log_key()))),
        ("signed by a region's commit key", "commit.signature", said(&head_over(&by(MOSCOW.commit()), 13, &log_key()))),
        ("an entry that is no envelope", "envelope.malformed", with(&|h| h.commit = quoted("{}"))),
        ("an envelope of another type", "envelope.header", {
            use domovoi::registry::envelope::{Envelope, TYP_RECORD};
            let other = Envelope::sign(b"{}".to_vec(), TYP_RECORD, &[&commit_key()]);
            said(&head_over(&other, 13, &log_key()))
        }),
        ("a region's commit", "bucket.head", said(&head_over(&sign(NodeRecord::Commit(committed)), 13, &log_key()))),
        (
            "the list of regions before the commit",
            "bucket.head",
            said(&head_over(&sign(NodeRecord::Regions(listed)), 13, &log_key())),
        ),
        (
            "the commit of another log",
            "bucket.head",
            said(&head_over(&entry(map, |c| c.log = "other.example/log".into()), 13, &log_key())),
        ),
        ("the commit of another size", "bucket.head", said(&head_over(&entry(map, |c| c.size = 12), 13, &log_key()))),
        ("an older commit under a new checkpoint", "bucket.head", with(&|h| h.commit = older.commit.clone())),
        ("a new commit under an older checkpoint", "bucket.head", with(&|h| h.checkpoint = older.checkpoint.clone())),
        ("another size than the checkpoint's", "bucket.head", with(&|h| h.size = 12)),
        (
            "a commit that is not in the log",
            "proof.inclusion",
            with(&|h| {
                let commit = entry(map, |c| c.charter = 2);
                h.commit = quoted(std::str::from_utf8(&commit).unwrap());
            }),
        ),
        ("a hash of the path is missing", "proof.length", with(&|h| h.path.0.truncate(h.path.0.len() - 1))),
        ("a hash of the path too many", "proof.length", with(&|h| h.path.0.push(none()))),
        ("another hash in the path", "proof.inclusion", with(&|h| h.path.0[1] = none())),
        ("the path in another order", "proof.inclusion", with(&|h| h.path.0.reverse())),
        ("a prefix for fewer links than hide one", "bucket.head", said(&head(map, |c| (c.bits, c.count) = (1, 255)))),
        ("a prefix of one more bit", "bucket.head", said(&head(map, |c| (c.bits, c.count) = (4, 2047)))),
        ("a prefix longer than any", "bucket.head", said(&head(map, |c| (c.bits, c.count) = (21, 1 << 40)))),
        ("a prefix of a million bits", "bucket.head", said(&head(map, |c| (c.bits, c.count) = (1_000_000, 1 << 40)))),
        ("a commit of a version nobody knows", "record.version", resigned(map, |p| replaced(&p, "\"v\":0", "\"v\":9"))),
        (
            "a commit with a field nobody knows",
            "record.payload",
            resigned(map, |p| replaced(&p, "{", "{\"colour\":1,")),
        ),
        (
            "a commit with a field twice",
            "record.payload",
            resigned(map, |p| replaced(&p, "\"bits\":", "\"bits\":0,\"bits\":")),
        ),
        ("a commit without its root", "record.payload", resigned(map, |p| replaced(&p, "\"links\":", "\"lines\":"))),
        (
            "a commit with a number as text",
            "record.payload",
            resigned(map, |p| replaced(&p, "\"charter\":1", "\"charter\":\"1\"")),
        ),
        (
            "a commit with a fraction",
            "record.payload",
            resigned(map, |p| replaced(&p, "\"charter\":1", "\"charter\":1.0")),
        ),
        (
            "a commit with a number that readers lose digits of",
            "record.payload",
            resigned(map, |p| replaced(&p, "\"charter\":1", "\"charter\":9007199254740992")),
        ),
        (
            "a commit with a region there is not",
            "record.payload",
            resigned(map, |p| replaced(&p, "\"missing\":[]", "\"missing\":[\"80\"]")),
        ),
    ]
}

/// Heads that are refused before anything of the link is told.
pub fn heads(map: &LinkMap) -> Vec<Value> {
    let good = said(&head(map, |_| {}));
    let forms = vec![
        ("nothing", "bucket.head", String::new()),
        ("no JSON", "bucket.head", good[..good.len() - 1].to_owned()),
        ("something after it", "bucket.head", format!("{good}0")),
        ("an array of its parts", "bucket.head", "[14,\"a\",\"b\",[]]".to_owned()),
        ("a member twice", "bucket.head", replaced(&good, "{", "{\"size\":14,")),
        ("a member nobody knows", "bucket.head", replaced(&good, "{", "{\"colour\":1,")),
        ("a size below nought", "bucket.head", replaced(&good, "\"size\":14", "\"size\":-14")),
        ("a size as text", "bucket.head", replaced(&good, "\"size\":14", "\"size\":\"14\"")),
        ("a hash in capitals", "bucket.head", edited(&good, |v| v["path"][0] = json!("AB".repeat(32)))),
        ("a path longer than any", "bucket.head", edited(&good, |v| v["path"] = json!(vec!["07".repeat(32); 65]))),
    ];
    let cases = forms.into_iter().chain(logs(map));
    let mut cases: Vec<Value> = cases
        .map(|(name, code, head)| json!({ "name": format!("head: {name}"), "code": code, "head": head, "link": pasted(0) }))
        .collect();
    let bytes = data_encoding::HEXLOWER.encode(&[good.as_bytes(), &[0xff]].concat());
    cases.push(
        json!({ "name": "head: bytes that are no text", "code": "bucket.head", "head_hex": bytes, "link": pasted(0) }),
    );
    cases.push(json!({ "name": "head: half of a surrogate pair", "code": "bucket.head",
        "head": replaced(&good, "\"checkpoint\":\"", "\"checkpoint\":\"\\ud800"), "link": pasted(0) }));
    cases
}

/// Buckets that are refused.
pub fn buckets(few: &LinkMap, many: &LinkMap) -> Vec<Value> {
    let good = bucket(few, 0, |_| {});
    let two = bucket(many, 0, |_| {});
    let other = (0..).find(|n| bucket_name(&digest(*n), 1) != bucket_name(&digest(0), 1)).unwrap();
    let line = |change: &dyn Fn(&str) -> String| {
        edited(&good, |v| {
            let line = change(v["links"][0].as_str().unwrap());
            v["links"][0] = json!(line);
        })
    };
    let word = |at: usize, to: &str| {
        line(&|l| l.split(' ').enumerate().map(|(i, w)| if i == at { to } else { w }).collect::<Vec<_>>().join(" "))
    };
    let first: Value = serde_json::from_str(&good).unwrap();
    let first = first["links"][0].as_str().unwrap().to_owned();
    let (digest_word, claims) = first.split_once(' ').unwrap();
    let last = digest_word.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let loose = alphabet.chars().nth(alphabet.find(last).unwrap() ^ 1).unwrap();
    // The line of the link that two regions claim.
    let twice = data_encoding::BASE64URL_NOPAD.encode(&digest(20).0);
    let claimed = |change: &dyn Fn(Vec<String>) -> Vec<String>| {
        edited(&good, |v| {
            let lines = v["links"].as_array_mut().unwrap();
            let line = lines.iter_mut().find(|l| l.as_str().unwrap().starts_with(&twice)).unwrap();
            let words: Vec<String> = line.as_str().unwrap().split(' ').map(str::to_owned).collect();
            let claims = words[1..].chunks(5).map(|c| c.join(" ")).collect();
            *line = json!(format!("{twice} {}", change(claims).join(" ")));
        })
    };
    let list = |change: &dyn Fn(&mut Vec<Value>)| edited(&good, |v| change(v["links"].as_array_mut().unwrap()));
    let siblings = |change: &dyn Fn(&mut Vec<Value>)| edited(&two, |v| change(v["siblings"].as_array_mut().unwrap()));
    let form = "bucket.form";
    let mut cases = vec![
        ("nothing", form, String::new()),
        ("no JSON", form, good[..good.len() - 1].to_owned()),
        ("a member twice", form, replaced(&good, "{", "{\"pad\":\"\",")),
        ("a member nobody knows", form, replaced(&good, "{", "{\"colour\":1,")),
        ("no head", form, edited(&good, |v| drop(v.as_object_mut().unwrap().remove("head")))),
        ("a head that is an array", form, edited(&good, |v| v["head"] = json!([14, "a", "b", []]))),
        ("a head without its size", form, edited(&good, |v| drop(v["head"].as_object_mut().unwrap().remove("size")))),
        ("padded with letters", form, edited(&good, |v| v["pad"] = json!("   x"))),
        ("padded with line ends", form, edited(&good, |v| v["pad"] = json!("\n\n"))),
        ("a digest with padding", form, line(&|l| replaced(l, digest_word, &format!("{digest_word}=")))),
        (
            "a digest in the other base64",
            form,
            line(&|l| replaced(l, digest_word, &format!("{}+", &digest_word[..42]))),
        ),
        (
            "a digest with bits nobody reads",
            form,
            line(&|l| replaced(l, digest_word, &format!("{}{loose}", &digest_word[..42]))),
        ),
        ("a digest that is too short", form, line(&|l| l[1..].to_owned())),
        ("a digest in hexadecimal", form, line(&|l| replaced(l, digest_word, &digest(0).to_string()))),
        ("two blanks", form, line(&|l| replaced(l, " ", "  "))),
        ("a blank at the end", form, line(&|l| format!("{l} "))),
        ("a claim without an owner's place", form, line(&|l| l.rsplit_once(' ').unwrap().0.to_owned())),
        ("a claim with a word too many", form, line(&|l| format!("{l} 0"))),
        ("a region there is not", form, word(1, "80")),
        ("a region of one digit", form, word(1, "7")),
        (
            "a chat number in small letters",
            form,
            line(&|l| l.replacen(l.split(' ').nth(2).unwrap(), "77-abcd-efgh-jkmn", 1)),
        ),
        ("a time with a nought before it", form, line(&|l| replaced(l, " 1790", " 01790"))),
        ("a time with a sign", form, line(&|l| replaced(l, " 1790", " +1790"))),
        ("a standing nobody knows", form, word(4, "genuine")),
        ("an owner who is not in the list", form, word(5, "99")),
        ("an owner's place below nought", form, word(5, "-1")),
        ("an owner's place with a sign", form, word(5, "+0")),
        ("an owner's place with a nought before it", form, word(5, "00")),
        ("an owner's place of 2^64", form, word(5, "18446744073709551616")),
        ("an owner with a false checksum", form, edited(&good, |v| v["owners"][0] = json!("ogrn:1077700000500"))),
        ("a link without a claim", form, line(&|_| digest_word.to_owned())),
        ("a link twice", form, list(&|l| l.insert(0, l[0].clone()))),
        ("links in another order", form, list(&|l| l.swap(0, 1))),
        (
            "claims in another order",
            form,
            claimed(&|mut c| {
                c.reverse();
                c
            }),
        ),
        (
            "a claim twice",
            form,
            claimed(&|mut c| {
                c.insert(0, c[0].clone());
                c
            }),
        ),
        ("a claim is missing", "bucket.root", claimed(&|c| c[1..].to_vec())),
        ("a link is missing", "bucket.root", list(&|l| drop(l.remove(0)))),
        (
            "a link too many",
            "bucket.root",
            list(&|l| {
                let last = data_encoding::BASE64URL_NOPAD.encode(&[0xff; 32]);
                l.push(json!(format!("{last} {claims}")));
            }),
        ),
        ("no links", "bucket.root", list(&|l| l.clear())),
        ("another standing", "bucket.root", word(4, if claims.contains("official") { "closed" } else { "official" })),
        ("another time", "bucket.root", line(&|l| replaced(l, " 1790", " 1791"))),
        ("another owner", "bucket.root", edited(&good, |v| v["owners"].as_array_mut().unwrap().reverse())),
        ("another chat", "bucket.root", word(2, "77-0000-0000-0000")),
        ("a sibling where there is none", form, edited(&good, |v| v["siblings"] = json!(["07".repeat(32)]))),
        ("a sibling is missing", form, siblings(&|s| s.clear())),
        ("a sibling too many", form, siblings(&|s| s.push(json!("07".repeat(32))))),
        ("another sibling", "bucket.root", siblings(&|s| s[0] = json!("07".repeat(32)))),
        ("a sibling that is no hash", form, siblings(&|s| s[0] = json!("07".repeat(31)))),
        ("more siblings than any prefix has bits", form, siblings(&|s| *s = vec![json!("07".repeat(32)); 21])),
        (
            "a line of the other bucket",
            form,
            edited(&two, |v| {
                let line = format!("{} {claims}", data_encoding::BASE64URL_NOPAD.encode(&digest(other).0));
                v["links"][0] = json!(line);
            }),
        ),
        ("the links of another commit", "bucket.root", bucket(few, 0, |c| c.links = none())),
        ("the other bucket's links under this one's siblings", form, {
            let theirs: Value = serde_json::from_str(&bucket(many, other, |_| {})).unwrap();
            edited(&two, |v| v["links"] = theirs["links"].clone())
        }),
    ];
    let in_head = |head: &str| edited(&good, |v| v["head"] = serde_json::from_str(head).unwrap());
    for (name, code, head) in logs(few) {
        // What is no head at all is found when the file is read.
        let code = if head.contains("\"checkpoint\":\"\"") || head.len() > 17_000 { form } else { code };
        cases.push((name, code, in_head(&head)));
    }
    let mut cases: Vec<Value> = cases
        .into_iter()
        .map(|(name, code, bucket)| json!({ "name": name, "code": code, "bucket": bucket, "link": pasted(0), "now": NOW }))
        .collect();
    cases.push(json!({ "name": "the other bucket", "code": form, "bucket": two, "link": pasted(other), "now": NOW }));
    let bytes = data_encoding::HEXLOWER
        .encode(&replaced(&good, "\"pad\":\"", "\"pad\":\"\u{7f}").into_bytes())
        .replacen("7f", "ff", 1);
    cases.push(
        json!({ "name": "bytes that are no text", "code": form, "bucket_hex": bytes, "link": pasted(0), "now": NOW }),
    );
    cases
}
