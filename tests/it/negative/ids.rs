//! Cases about identifiers, texts, days and join links: one spelling each, and what is close to it is refused.

use super::{Case, case};

/// What is read, the code of a refusal, one that is good, then what is not, each with what is wrong about it.
type Table<'a> = (&'a str, &'a str, &'a str, Vec<(&'a str, &'a str)>);

const TOKEN: &str = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE";

pub fn cases() -> Vec<Case> {
    let link = |rest: &str| format!("{rest}{TOKEN}");
    let links = [
        ("a shortener", "https://clck.ru/3AbCdE".to_owned()),
        ("a foreign host", link("https://max.example/join/")),
        ("a Cyrillic а", link("https://m\u{430}x.ru/join/")),
        ("punycode", link("https://xn--mx-7kc.ru/join/")),
        ("a host before @", link("https://max.ru@evil.example/join/")),
        ("a host that begins alike", link("https://max.ru.evil.example/join/")),
        ("rn for m", link("https://rnax.ru/join/")),
        ("a backslash", link("https://evil.example\\max.ru/join/")),
        ("another scheme", link("ftp://max.ru/join/")),
        ("javascript", "javascript:alert(1)".to_owned()),
        ("a page of MAX", "https://max.ru/u/somebody".to_owned()),
        ("a port", link("https://max.ru:8443/join/")),
        ("no token", "https://max.ru/join/".to_owned()),
        ("a short token", "https://max.ru/join/AbC".to_owned()),
        ("a long token", link("https://max.ru/join/xx")),
        ("a path after the token", format!("https://max.ru/join/{TOKEN}/more")),
        ("a token with a letter that is none", format!("https://max.ru/join/{}ж", &TOKEN[..41])),
        ("only text", "наш домовой чат".to_owned()),
        ("nothing", String::new()),
        ("five kilobytes", format!("https://max.ru/join/{}", "A".repeat(5000))),
    ];
    let links: Vec<(&str, &str)> = links.iter().map(|(n, l)| (*n, l.as_str())).collect();
    let long = "д".repeat(501);
    let (hex, thumb) = ("ab".repeat(32), "A".repeat(43));
    let (hex_upper, hex_short, thumb_padded, thumb_loose) =
        (hex.to_uppercase(), hex[..63].to_owned(), format!("{thumb}="), format!("{}B", &thumb[..42]));
    let good_link = link("https://max.ru/join/");
    let texts = vec![
        ("longer than 500 characters", long.as_str()),
        ("empty", ""),
        ("only spaces", "   "),
        ("a space at the end", "Дом "),
    ];
    let tables: Vec<Table<'_>> = vec![
        ("link", "link.not_chat", &good_link, links),
        (
            "building_id",
            "building.id",
            "gar:0c5b2444-70a0-4932-980c-b4dc0d3f02b5",
            vec![
                ("an upper-case UUID", "gar:0C5B2444-70A0-4932-980C-B4DC0D3F02B5"),
                ("a UUID without hyphens", "gar:0c5b244470a04932980cb4dc0d3f02b5"),
                ("ГИС ЖКХ without the room", "gis:7700000000000000000000001"),
                ("ГИС ЖКХ with 24 digits", "gis:770000000000000000000001-00001"),
                ("a cadastral number of three parts", "kad:77:01:0001001"),
                ("a cadastral number with letters", "kad:77:01:000100a:1"),
                ("a portal number with a zero", "reformagkh:0700001"),
                ("a portal number of 13 digits", "reformagkh:1234567890123"),
                ("an unknown scheme", "fias:0c5b2444-70a0-4932-980c-b4dc0d3f02b5"),
                ("no scheme", "7000001"),
                ("no value", "gar:"),
                ("other scripts' digits", "reformagkh:\u{661}\u{662}"),
                (
                    "a hundred digits",
                    "reformagkh:11111111111111111111111111111111111111111111111111111111111111111111111111111",
                ),
            ],
        ),
        (
            "organisation_id",
            "organisation.id",
            "ogrn:1027700132195",
            vec![
                ("an ОГРН with a wrong checksum", "ogrn:1027700132194"),
                ("an ОГРН of 12 digits", "ogrn:102770013219"),
                ("an ОГРН of zeroes", "ogrn:0000000000000"),
                ("an ОГРНИП with a wrong checksum", "ogrnip:304500116000158"),
                ("an ИНН with a wrong checksum", "inn:7707083894"),
                ("an ИНН of 11 digits", "inn:77070838930"),
                ("an ИНН of 12 digits with a wrong checksum", "inn:500100732258"),
                ("an ИНН of zeroes", "inn:0000000000"),
                ("a КПП", "kpp:770701001"),
            ],
        ),
        (
            "oktmo",
            "oktmo.invalid",
            "45383000",
            vec![
                ("7 digits", "4538300"),
                ("9 digits", "453830001"),
                ("a letter", "4538300a"),
                ("a space", "45383 00"),
                ("12 digits", "453830000011"),
            ],
        ),
        (
            "oktmo_prefix",
            "oktmo.prefix",
            "45",
            vec![("one digit", "4"), ("12 digits", "453830000011"), ("a letter", "4a")],
        ),
        (
            "region",
            "region.unknown",
            "77",
            vec![("96", "96"), ("00", "00"), ("one digit", "7"), ("three digits", "077"), ("a sign", "+7")],
        ),
        ("record_id", "record.id", &hex, vec![("upper case", &hex_upper), ("63 digits", &hex_short), ("empty", "")]),
        ("link_digest", "link.digest", &hex, vec![("upper case", &hex_upper), ("63 digits", &hex_short)]),
        (
            "key_id",
            "key.id",
            &thumb,
            vec![
                ("padding", &thumb_padded),
                ("loose bits", &thumb_loose),
                ("42 characters", &thumb[..42]),
                ("a plus", "+AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            ],
        ),
        (
            "max_chat_id",
            "chat.max_id",
            "max:-68123456789",
            vec![
                ("no prefix", "-68123456789"),
                ("zero", "max:0"),
                ("a plus", "max:+5"),
                ("a leading zero", "max:-05"),
                ("beyond 64 bits", "max:9223372036854775808"),
            ],
        ),
        (
            "chat_number",
            "chat.number",
            "77-ABCD-EFGH-JKMN",
            vec![
                ("the letter I", "77-ABCD-EFGH-IKMN"),
                ("the letter O", "77-ABCD-EFGH-OKMN"),
                ("lower case", "77-abcd-efgh-jkmn"),
                ("no hyphens", "77ABCDEFGHJKMN"),
                ("a digit too few", "77-ABCD-EFGH-JKM"),
            ],
        ),
        (
            "day",
            "day.invalid",
            "2026-02-28",
            vec![
                ("30 February", "2026-02-30"),
                ("29 February of no leap year", "2025-02-29"),
                ("month 13", "2026-13-01"),
                ("day 0", "2026-01-00"),
                ("points", "28.02.2026"),
                ("one digit", "2026-2-28"),
                ("1899", "1899-12-31"),
                ("2201", "2201-01-01"),
                ("a time", "2026-02-28T00:00"),
            ],
        ),
        ("text", "text.length", "Дом № 5", texts),
        (
            "text",
            "text.control",
            "Дом 5, корпус 2",
            vec![
                ("a line end", "Дом\n5"),
                ("a tab", "Дом\t5"),
                ("a direction override", "Дом\u{202e}5"),
                ("a space without width", "Дом\u{200b}5"),
                ("a byte order mark", "До\u{feff}м"),
                ("an isolate", "Дом\u{2066}5"),
            ],
        ),
        ("text", "text.nfc", "мой дом", vec![("й in two parts", "мои\u{306} дом"), ("é in two parts", "cafe\u{301}")]),
        (
            "phone",
            "service.phone",
            "+74951234567",
            vec![
                ("an 8 in front", "84951234567"),
                ("a space", "+7 4951234567"),
                ("two digits", "12"),
                ("seven digits", "1234567"),
                ("another country", "+375291234567"),
                ("other scripts' digits", "\u{661}\u{661}\u{662}"),
            ],
        ),
        (
            "bot",
            "bot.name",
            "@dom_bot",
            vec![("no @", "dom_bot"), ("only @", "@"), ("a space", "@dom bot"), ("Cyrillic", "@дом_бот")],
        ),
        (
            "subject",
            "subject.unknown",
            "chat:77-ABCD-EFGH-JKMN",
            vec![
                ("no kind", "77-ABCD-EFGH-JKMN"),
                ("an unknown kind", "flat:77"),
                ("a log with an id", "log:77"),
                ("a log with a colon", "log:"),
                ("a key that is none", "key:abc"),
            ],
        ),
        ("subject", "building.id", "log", vec![("a building that is none", "building:gar:1")]),
        (
            "millis",
            "millis.range",
            "9007199254740991",
            vec![("2^53", "9007199254740992"), ("2^64-1", "18446744073709551615")],
        ),
        (
            "public_key",
            "key.torsion",
            "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c",
            vec![
                ("the neutral element", "0100000000000000000000000000000000000000000000000000000000000000"),
                ("a point of order 8", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
            ],
        ),
        (
            "public_key",
            "key.encoding",
            "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394",
            vec![
                ("a number beyond the field", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
                ("no point of the curve", "0200000000000000000000000000000000000000000000000000000000000000"),
            ],
        ),
    ];
    let mut all = Vec::new();
    for (what, code, good, bad) in tables {
        all.push(case(
            &format!("a good {what} (beside {code}): {}", good.chars().take(30).collect::<String>()),
            what,
            good,
            "",
        ));
        all.extend(bad.iter().map(|(name, input)| case(&format!("{what}: {name}"), what, input, code)));
    }
    all
}
