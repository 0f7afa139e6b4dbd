//! The poster: read back by other programs. What poppler shows is what was to be printed, and zbar reads the address in the QR.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use domovoi::poster::Poster;
use domovoi::poster::facts::{Answer, Facts, check};
use domovoi::poster::site::Site;
use domovoi::registry::check_code::CheckCode;
use domovoi::registry::secret_link::SecretLink;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::node::{Around, Node, program, run_in, sample};

const TOKEN: &str = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE";
const CHAT: &str = "77-90ZM-53D3-NE82";
const SITE: &str = "https://chats.example.ru";

fn link() -> SecretLink {
    SecretLink::parse(&format!("https://max.ru/join/{TOKEN}")).unwrap()
}

fn building(id: &str, address: &str, manager: &str) -> Value {
    let management = json!({"form": "company", "organisation": "ogrn:1027700132195", "name": manager, "holds": true});
    json!({"ids": [id], "address": address, "active": true, "managements": [management]})
}

/// The node's answer about an official chat of one house.
fn answer() -> Value {
    json!({
        "state": "official", "as_of": "2026-11-24", "chats": [{
            "chat": CHAT, "kind": "house", "status": "official", "entrance": null,
            "owner_name": "Государственная жилищная инспекция города Москвы", "owner_in_good_standing": true,
            "link_digest": link().digest().to_string(),
            "buildings": [building("reformagkh:1", "г. Москва, ул. Профсоюзная, д. 96, к. 1", "ГБУ «Жилищник района Коньково»")],
            "freshness": {"stale": false},
        }],
    })
}

fn facts(answer: &Value) -> Facts {
    checked(answer).unwrap()
}

fn checked(answer: &Value) -> Result<Facts, domovoi::error::Error> {
    let answer: Answer = serde_json::from_value(answer.clone()).unwrap();
    check(&answer, link().digest(), Some(CHAT.parse().unwrap()), Some(&"reformagkh:1".parse().unwrap()))
}

fn poster(answer: &Value) -> Vec<u8> {
    Poster::new(&facts(answer), &link(), &Site::of(Some(SITE)).unwrap()).render().unwrap()
}

fn tool(name: &str, args: &[&str]) -> String {
    let ran =
        Command::new(name).args(args).output().unwrap_or_else(|e| panic!("{name}: {e} (scripts/test installs it)"));
    assert!(ran.status.success(), "{name} {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    // pdfinfo writes the titles of headings in UTF-16 among UTF-8.
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// The text of the page, one space between words.
fn text_of(pdf: &Path) -> String {
    let text = tool("pdftotext", &["-layout", pdf.to_str().unwrap(), "-"]);
    let one = tool("pdftotext", &["-raw", pdf.to_str().unwrap(), "-"]);
    assert_eq!(text.matches('\u{c}').count(), 1, "one page");
    one.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What zbar reads in the page as a printer of that resolution prints it.
fn scanned(pdf: &Path, dpi: &str) -> String {
    let image = pdf.with_extension("scan");
    tool("pdftoppm", &["-r", dpi, "-gray", "-png", "-singlefile", pdf.to_str().unwrap(), image.to_str().unwrap()]);
    tool("zbarimg", &["--raw", "-q", image.with_extension("scan.png").to_str().unwrap()]).trim_end().to_owned()
}

/// Every word stands within the margins, and none on another.
fn within_margins(pdf: &Path) {
    let boxes = tool("pdftotext", &["-bbox", pdf.to_str().unwrap(), "-"]);
    let number = |line: &str, name: &str| -> f32 {
        let rest = &line[line.find(&format!(" {name}=\"")).unwrap() + name.len() + 3..];
        rest[..rest.find('"').unwrap()].parse().unwrap()
    };
    let words: Vec<&str> = boxes.lines().filter(|l| l.contains("<word ")).collect();
    assert!(words.len() > 40, "{boxes}");
    let placed: Vec<[f32; 4]> = words.iter().map(|w| ["xMin", "yMin", "xMax", "yMax"].map(|n| number(w, n))).collect();
    for ([left, top, right, bottom], word) in placed.iter().zip(&words) {
        assert!(*left >= 33.0 && *right <= 563.0 && *top >= 33.0 && *bottom <= 809.0, "{word}");
    }
    // The boxes of lines are higher than the lines are apart, so a part of the height may be shared.
    for (i, a) in placed.iter().enumerate() {
        for b in &placed[i + 1..] {
            let shared = |lo: usize, hi: usize| a[hi].min(b[hi]) - a[lo].max(b[lo]);
            let height = (a[3] - a[1]).min(b[3] - b[1]);
            assert!(shared(0, 2) < 0.5 || shared(1, 3) < height * 0.35, "{a:?} on {b:?}: {:?}", words[i]);
        }
    }
}

#[test]
fn what_is_printed_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let pdf = dir.path().join("a.pdf");
    std::fs::write(&pdf, poster(&answer())).unwrap();
    let said = text_of(&pdf);
    let code = CheckCode::of(CHAT.parse().unwrap(), link().digest()).to_string();
    for part in [
        "Официальный чат дома",
        "г. Москва, ул. Профсоюзная, д. 96, к. 1",
        "Владелец чата: Государственная жилищная инспекция города Москвы",
        "Домом управляет (на 24 ноября 2026 года): ГБУ «Жилищник района Коньково»",
        "Сведения реестра на 24 ноября 2026 года",
        "chats.example.ru",
        "«Госуслуги Дом»",
        "Никто официальный не просит код из СМС",
        CHAT,
        &code,
    ] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    let url = format!("{SITE}/check#{TOKEN}");
    for dpi in ["75", "100", "300"] {
        assert_eq!(scanned(&pdf, dpi), url, "{dpi}");
    }
    within_margins(&pdf);
    // The token is nowhere but in the QR.
    let bytes = std::fs::read(&pdf).unwrap();
    assert!(!said.contains(TOKEN) && !bytes.windows(20).any(|w| w == &TOKEN.as_bytes()[..20]));
    let info = tool("pdfinfo", &[pdf.to_str().unwrap()]);
    for line in
        ["Tagged:          yes", "Pages:           1", "(A4)", "Title:           Официальный чат дома: г. Москва"]
    {
        assert!(info.contains(line), "{line}: {info}");
    }
    assert!(!info.contains(TOKEN));
    let tags = tool("pdfinfo", &["-struct-text", pdf.to_str().unwrap()]);
    assert!(tags.contains("H1") && tags.contains("Figure"), "{tags}");
    let fonts = tool("pdffonts", &[pdf.to_str().unwrap()]);
    assert!(fonts.lines().skip(2).all(|l| l.contains("PTSans") && l.contains(" yes yes yes ")), "{fonts}");
    assert!(bytes.len() < 100_000, "{}", bytes.len());
    // The same facts, the same bytes.
    assert_eq!(poster(&answer()), bytes);
}

#[test]
fn long_texts_fit_the_page() {
    let long = "Ханты-Мансийский автономный округ — Югра, Нижневартовский район, пгт. Новоаганск, микрорайон Энтузиастов-Нефтяников, \
                ул. Героев-Первопроходцев Самотлорского месторождения, д. 128/15, корп. 24, стр. 3, литера АБВГ";
    assert!(long.chars().count() > 180);
    let owner = "Служба жилищного и строительного надзора Ханты-Мансийского автономного округа — Югры, территориальный отдел по \
                 Нижневартовскому району и городам Нижневартовск, Мегион, Лангепас и Покачи";
    let dir = tempfile::tempdir().unwrap();
    let houses = |n: usize, address: &str| {
        let all = (1..=n)
            .map(|i| building(&format!("reformagkh:{i}"), &format!("{address}, № {i}"), &format!("ООО «УК {i}»")));
        all.collect::<Vec<_>>()
    };
    let unbroken = "Ъ".repeat(200);
    for (name, buildings, owner, site) in [
        ("long", houses(1, long), owner, SITE),
        ("many", houses(90, "г. Сургут, ул. Университетская, д. 19"), owner, SITE),
        ("many-long", houses(20, long), owner, "https://reestr-chatov.zhilnadzor.admhmao.example.ru"),
        ("unbroken", houses(1, &unbroken), &unbroken, SITE),
        ("short", vec![building("reformagkh:1", "г. Орёл, д. 1", "ТСЖ «Ёж»")], "ГЖИ", "https://чаты.рф"),
    ] {
        let mut answer = answer();
        (answer["chats"][0]["buildings"], answer["chats"][0]["owner_name"]) = (json!(buildings), json!(owner));
        let pdf = dir.path().join(format!("{name}.pdf"));
        let site = Site::of(Some(site)).unwrap();
        let poster = Poster::new(&facts(&answer), &link(), &site);
        std::fs::write(&pdf, poster.render().unwrap_or_else(|e| panic!("{name}: {e}"))).unwrap();
        within_margins(&pdf);
        assert_eq!(scanned(&pdf, "100"), format!("{}/check#{TOKEN}", site.base()), "{name}");
        // A word that is broken is not found whole.
        let said = text_of(&pdf).replace(' ', "");
        let whole = |part: &str| said.contains(&part.replace(' ', ""));
        assert!(
            whole(owner) && whole(buildings[0]["address"].as_str().unwrap()) && whole(site.shown()),
            "{name}: {said}"
        );
        let named = buildings.iter().filter(|b| whole(b["address"].as_str().unwrap())).count();
        assert!(
            named == buildings.len() || whole(&format!("и ещё домов: {}", buildings.len() - named)),
            "{name}: {said}"
        );
        if let Ok(keep) = std::env::var("DOMOVOI_POSTERS") {
            std::fs::copy(&pdf, Path::new(&keep).join(format!("{name}.pdf"))).unwrap();
        }
    }
}

#[test]
fn only_what_is_official_now_is_printed() {
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut answer = answer();
        change(&mut answer);
        checked(&answer).unwrap_err().code()
    };
    let chat = |key: &'static str, value: Value| move |a: &mut Value| a["chats"][0][key] = value.clone();
    for state in ["suspended", "closed", "superseded", "disputed", "pending_handover", "something_new"] {
        assert_eq!(refused(&|a| a["state"] = json!(state)), "poster.not-official", "{state}");
    }
    assert_eq!(refused(&|a| a["state"] = json!("stale")), "poster.stale");
    assert_eq!(refused(&chat("freshness", json!({"stale": true}))), "poster.stale");
    for state in ["not_registered", "region_not_connected", "imitation_confirmed", "imitation_reported"] {
        let gone = |a: &mut Value| (a["state"], a["chats"]) = (json!(state), json!([]));
        assert_eq!(refused(&gone), "poster.unknown", "{state}");
    }
    assert_eq!(refused(&chat("status", json!("moved"))), "poster.not-official");
    assert_eq!(refused(&chat("owner_in_good_standing", json!(false))), "poster.not-official");
    assert_eq!(refused(&chat("chat", json!("77-90ZM-53D3-NE83"))), "poster.other-chat");
    assert_eq!(refused(&chat("link_digest", json!("00".repeat(32)))), "poster.rotated");
    assert_eq!(refused(&chat("link_digest", Value::Null)), "poster.rotated");
    assert_eq!(refused(&|a| a["chats"][0]["buildings"][0]["active"] = json!(false)), "poster.house");
    assert_eq!(refused(&|a| a["chats"][0]["buildings"][0]["ids"] = json!(["reformagkh:2"])), "poster.house");
    for state in ["official", "official_covers_several", "management_changed", "transferred", "contested"] {
        let mut answer = answer();
        answer["state"] = json!(state);
        assert_eq!(facts(&answer).contested, state == "contested");
    }
}

#[test]
fn the_fingerprint_follows_what_is_said_and_not_the_day() {
    let print = |answer: &Value| Poster::new(&facts(answer), &link(), &Site::of(Some(SITE)).unwrap()).fingerprint();
    let (mut later, mut other) = (answer(), answer());
    later["as_of"] = json!("2027-01-01");
    assert_eq!(print(&later), print(&answer()));
    for (key, value) in [("owner_name", json!("ГЖИ")), ("kind", json!("complex"))] {
        other["chats"][0][key] = value;
        assert_ne!(print(&other), print(&answer()), "{key}");
        other = answer();
    }
    other["chats"][0]["buildings"][0]["managements"][0]["name"] = json!("ООО «Новая»");
    assert_ne!(print(&other), print(&answer()));
    let fresh = Poster::new(&facts(&later), &link(), &Site::of(Some(SITE)).unwrap());
    assert!(fresh.is_in(&poster(&answer())), "yesterday's poster says the same");
    let cut = poster(&answer());
    assert!(!fresh.is_in(&cut[..cut.len() - 10]) && !fresh.is_in(&poster(&other)));
}

/// The vectors of docs/protocol.md: chat number, link digest, code.
fn codes() -> Vec<[String; 3]> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/protocol.md")).unwrap();
    let block = page.split("```codes check\n").nth(1).unwrap().split("```").next().unwrap();
    let line = |l: &str| l.split(' ').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
    let all: Vec<[String; 3]> = block.lines().map(line).collect();
    assert!(all.len() >= 3);
    all
}

#[test]
fn check_codes_are_as_the_protocol_says() {
    let digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    for [number, digest, code] in codes() {
        let shown = CheckCode::of(number.parse().unwrap(), digest.parse().unwrap()).to_string();
        assert_eq!(shown, code);
        // Once more, as the page says it.
        let link: Vec<char> = {
            let bits = u32::from_str_radix(&digest[..4], 16).unwrap();
            [11, 6, 1].map(|shift| digits.chars().nth((bits >> shift & 31) as usize).unwrap()).to_vec()
        };
        let ten: String = number.replace('-', "").chars().take(7).chain(link).collect();
        let last = ten.chars().fold(32, |p, c| {
            let s = (p + digits.find(c).unwrap()) % 32;
            2 * if s == 0 { 32 } else { s } % 33
        });
        let all = format!("{ten}{}", digits.chars().nth((33 - last) % 32).unwrap());
        assert_eq!(code.replace('-', ""), all);
        let at = code.match_indices('-').map(|(i, _)| i).collect::<Vec<_>>();
        assert_eq!(at, [2, 6, 10]);
    }
}

#[test]
fn a_browser_makes_the_same_check_codes() {
    let node = Node::moscow();
    let mut browser = Browser::start();
    browser.open(&format!("{}/", node.url()));
    for [number, digest, code] in codes() {
        let made = browser.eval(&format!("import('/assets/verify.js').then(v => v.checkCode('{number}', '{digest}'))"));
        assert_eq!(made, json!(code));
    }
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The tokens of a list of chats.
fn tokens(text: &str) -> Vec<String> {
    let after = text.split("/join/").skip(1);
    let token = |s: &str| s.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect::<String>();
    after.map(token).filter(|t| t.len() > 40).collect()
}

/// A region's list, from the clerk's table to the printed pages: made once, kept the second time, refused with a reason, and the
/// links are nowhere but in the codes.
#[test]
fn a_regions_posters_are_made_in_one_go() {
    let node = Node::moscow();
    let list = sample("chats_moscow_GENERATED.csv");
    let work = node.dir.path();
    let report = work.join("refused.xlsx");
    let report = report.to_str().unwrap();
    let houses = sample("77_moscow_20140323.csv.gz");
    node.run(&["import", "buildings", &houses, "--observed", "2014-03-23", "--report", report]).json();
    node.run(&["import", "chats", &list, "--generated", "--report", report]).json();

    // The table as the clerk keeps it, and rows that must not be printed.
    let text = std::fs::read_to_string(&list).unwrap();
    let rows: Vec<&str> = text.lines().collect();
    let link_of = |row: &str| SecretLink::parse(row.split(';').nth(2).unwrap()).unwrap();
    let chat_of = |row: &str| node.api(&format!("verify?digest={}", link_of(row).digest()))["chats"][0].clone();
    let whole: Vec<&str> = rows.iter().copied().filter(|r| r.contains(";reformagkh:") && !r.contains("mаx")).collect();
    let (suspended, rotated, elsewhere) = (whole[1], whole[2], whole[3]);
    let signer = node.signer("operator");
    let change = |row: &str, kind: &str, mut fields: Value| {
        let chat = chat_of(row);
        fields["chat"] = chat["chat"].clone();
        let prev = Some(chat["last_record"].as_str().unwrap().parse().unwrap());
        let (_, bytes) =
            signer.record(kind, fields, Around { prev, from: Some("2020-01-01"), basis: true, ..Around::default() });
        node.accept(&[bytes]);
        chat["chat"].as_str().unwrap().to_owned()
    };
    let out = work.join("плакаты");
    let table = work.join("чаты.csv");
    let poster =
        |args: &[&str]| node.run(&[&["--set", "node.public_url=https://chats.example.ru", "poster"], args].concat());
    let batch = |extra: &[&str]| {
        let args = ["--table", table.to_str().unwrap(), "--out", out.to_str().unwrap()];
        poster(&[&args, extra].concat()).json()
    };
    let made = |v: &Value| ["rows", "made", "kept", "repeated", "refused"].map(|k| v[k].as_u64().unwrap());

    // As imported, with one row twice; first without writing.
    std::fs::write(&table, format!("{text}{}\n", whole[0])).unwrap();
    let dry = batch(&["--dry-run"]);
    assert!(!out.exists(), "a dry run writes nothing");
    let first = batch(&[]);
    assert_eq!((made(&first), made(&dry)), ([604, 600, 0, 1, 3], [604, 600, 0, 1, 3]), "{first}");
    assert_eq!(first["reasons"], json!({"poster.link": 1, "poster.unknown": 2}));
    let names = files(&out);
    assert_eq!(names.len(), 601, "600 posters and the report");
    assert!(
        names.iter().all(|n| n == "posters.csv" || n.starts_with("77-") && n.len() == "77-90ZM-53D3-NE82.pdf".len())
    );

    // Every one of a few is read back: the QR holds the very link of the row, the text its address and its owner.
    for row in whole.iter().step_by(40) {
        let chat = chat_of(row);
        let pdf = out.join(format!("{}.pdf", chat["chat"].as_str().unwrap()));
        let token = tokens(row).remove(0);
        assert_eq!(scanned(&pdf, "100"), format!("https://chats.example.ru/check#{token}"));
        let said = text_of(&pdf);
        for part in [&chat["buildings"][0]["address"], &chat["owner_name"], &chat["check_code"], &chat["chat"]] {
            assert!(said.contains(part.as_str().unwrap()), "{part}: {said}");
        }
        within_margins(&pdf);
    }

    // Paper is compared with the chat's page.
    let page = node.get(&format!("/chat/{}", chat_of(whole[0])["chat"].as_str().unwrap()));
    let code = chat_of(whole[0])["check_code"].as_str().unwrap().to_owned();
    assert!(String::from_utf8_lossy(&page.body).contains(&format!("Код проверки на плакате</dt><dd>{code}</dd>")));

    // Again: nothing is written. A poster that is cut off is made anew.
    let at = |name: &str| std::fs::metadata(out.join(name)).unwrap().modified().unwrap();
    let before: Vec<_> = names.iter().filter(|n| n.ends_with(".pdf")).map(|n| at(n)).collect();
    let cut = std::fs::read(out.join(&names[7])).unwrap();
    std::fs::write(out.join(&names[7]), &cut[..cut.len() / 2]).unwrap();
    assert_eq!(made(&batch(&[])), [604, 1, 599, 1, 3]);
    assert_eq!(std::fs::read(out.join(&names[7])).unwrap(), cut);
    let changed = names.iter().filter(|n| n.ends_with(".pdf")).zip(&before).filter(|(n, was)| at(n) != **was).count();
    assert_eq!(changed, 1);

    // The register goes on: one chat is suspended, one link is replaced, one row names a house that is not its chat's.
    let gone = [
        change(suspended, "chat.suspended", json!({"reason": "compromised"})),
        change(rotated, "chat.amended", json!({"link": "ab".repeat(32)})),
        chat_of(elsewhere)["chat"].as_str().unwrap().to_owned(),
    ];
    let wrong = elsewhere.replacen(elsewhere.split(';').nth(1).unwrap(), "reformagkh:999999999", 1);
    std::fs::write(&table, text.replace(elsewhere, &wrong)).unwrap();
    let last = batch(&[]);
    assert_eq!(made(&last), [603, 0, 597, 0, 6], "{last}");
    let mut reasons = json!({"poster.link": 1, "poster.unknown": 2, "poster.house": 1, "poster.rotated": 1});
    reasons["poster.not-official"] = json!(1);
    assert_eq!(last["reasons"], reasons);
    let mut left: Vec<String> = gone.iter().map(|c| format!("{c}.pdf")).collect();
    left.sort();
    assert_eq!(last["leftover"], json!(left), "what hangs without a reason is named");

    // One chat: from the option, and from standard input; what it refuses.
    let chat = chat_of(whole[0])["chat"].as_str().unwrap().to_owned();
    let link = format!("https://max.ru/join/{}", tokens(whole[0])[0]);
    let one = work.join("один.pdf");
    let made = poster(&[&chat, "--link", &link, "--out", one.to_str().unwrap()]).json();
    assert_eq!(made["check_code"], chat_of(whole[0])["check_code"]);
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(out.join(format!("{chat}.pdf"))).unwrap());
    let typed = work.join("typed.pdf");
    let mut asked = program(&node.data());
    asked.args([
        "--set",
        "node.public_url=https://chats.example.ru",
        "poster",
        &chat,
        "--out",
        typed.to_str().unwrap(),
    ]);
    let mut asked = asked.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    asked.stdin.take().unwrap().write_all(format!("{link}\n").as_bytes()).unwrap();
    assert!(asked.wait().unwrap().success());
    assert_eq!(std::fs::read(&typed).unwrap(), std::fs::read(&one).unwrap());
    let other = format!("https://max.ru/join/{}", tokens(whole[4])[0]);
    let mut said = Vec::new();
    let mut refused = |chat: &str, link: &str, code: &str| {
        let ran = poster(&[chat, "--link", link, "--out", work.join("нет.pdf").to_str().unwrap()]);
        assert_eq!(ran.code(), code);
        said.extend([ran.out, ran.err]);
    };
    refused(&chat, &other, "poster.other-chat");
    refused(&gone[0], &format!("max.ru/join/{}", tokens(suspended)[0]), "poster.not-official");
    refused(&gone[1], &format!("max.ru/join/{}", tokens(rotated)[0]), "poster.rotated");
    refused(&chat, &format!("max.ru/join/{}", "A".repeat(43)), "poster.unknown");
    refused(&chat, &link[..link.len() - 4], "poster.link");
    assert!(!work.join("нет.pdf").exists());
    // The node's own setting is an address that residents cannot reach.
    assert_eq!(node.run(&["poster", &chat, "--link", &link]).code(), "poster.site");

    // Links are nowhere but in the codes.
    let people = run_in(
        &node.data(),
        &[
            "--set",
            "node.public_url=https://chats.example.ru",
            "poster",
            "--table",
            table.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
        ],
    );
    assert!(people.ok && people.out.contains("poster.rotated"), "{}{}", people.out, people.err);
    said.extend([people.out, people.err, first.to_string(), last.to_string(), made.to_string(), node.log()]);
    said.push(std::fs::read_to_string(out.join("posters.csv")).unwrap());
    said.extend(files(&out));
    let secret: Vec<String> = tokens(&text).into_iter().map(|t| t[..30].to_owned()).collect();
    assert!(secret.len() > 590);
    for text in &said {
        assert!(!secret.iter().any(|s| text.contains(s.as_str())), "{text}");
    }
    for pdf in files(&out).iter().filter(|n| n.ends_with(".pdf")).step_by(50) {
        let text = text_of(&out.join(pdf));
        assert!(!secret.iter().any(|s| text.contains(s.as_str())), "{pdf}");
    }
}
