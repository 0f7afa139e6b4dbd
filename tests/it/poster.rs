//! The poster: read back by other programs. What poppler shows is what was to be printed, and zbar reads the address in the QR.

use std::path::Path;
use std::process::Command;

use domovoi::poster::Poster;
use domovoi::poster::facts::{Answer, Facts, check};
use domovoi::poster::site::Site;
use domovoi::registry::check_code::CheckCode;
use domovoi::registry::secret_link::SecretLink;
use serde_json::{Value, json};

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
fn text(pdf: &Path) -> String {
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
    let said = text(&pdf);
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
        let said = text(&pdf).replace(' ', "");
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
