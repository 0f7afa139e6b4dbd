//! Finding a building by what people type, over real addresses: a table of queries, and what must hold for every address.

use std::sync::LazyLock;

use domovoi::registry::address_words::AddressWords;
use domovoi::registry::ids::BuildingId;
use domovoi::search::query::{AddressQuery, MAX_QUERY, MAX_WORDS};
use domovoi::search::{AddressFinder, index};
use proptest::prelude::*;

use crate::data;

/// Addresses that the sample lacks, and queries of the table need.
const BESIDE: &[&str] = &[
    "Респ. Карелия, г. Петрозаводск, пр-кт. Ленина, д. 5",
    "Респ. Карелия, г. Петрозаводск, пр-кт. Ленина, д. 5, к. 1",
    "Респ. Карелия, г. Петрозаводск, пр-кт. Ленина, д. 5, к. 2",
    "Респ. Карелия, г. Петрозаводск, пр-кт. Ленина, д. 5, стр. 2",
    "Респ. Карелия, г. Петрозаводск, пр-кт. Ленина, д. 15",
    "Респ. Карелия, г. Петрозаводск, пр-кт. Ленина, д. 52",
    "Респ. Карелия, г. Петрозаводск, ул. Ленинградская, д. 5",
    "г. Москва, ул. Ордынка Б., д. 7",
    "г. Москва, ул. Ордынка М., д. 7",
    "г. Москва, ул. Королёва, д. 3",
    "г. Москва, наб. Пречистенская, д. 5",
    "г. Москва, ул. Пречистенка, д. 5",
    "г. Москва, ул. С.Перовской, д. 4",
];

struct Indexed {
    finder: AddressFinder,
    addresses: Vec<String>,
}

/// The Moscow and the Karelian sample, and [`BESIDE`]; a building's id is its place.
static SAMPLE: LazyLock<Indexed> = LazyLock::new(|| {
    let of = |file: &str| data::sample(file).into_iter().map(|mut r| r.remove("ADDRESS").unwrap()).collect::<Vec<_>>();
    let mut addresses = of("77_moscow_20170614.csv.gz");
    addresses.extend(of("10_karelia_20160920.csv.gz"));
    addresses.extend(BESIDE.iter().map(ToString::to_string));
    indexed(addresses)
});

fn indexed(addresses: Vec<String>) -> Indexed {
    let (mut writer, finder) = index().unwrap();
    for (i, address) in addresses.iter().enumerate() {
        let region = if address.starts_with("Респ") {
            "Республика Карелия"
        } else {
            "Город Москва"
        };
        writer.add(0, &BuildingId::new("reformagkh", &(i + 1).to_string()).unwrap(), address, region).unwrap();
    }
    writer.commit(&finder).unwrap();
    Indexed { finder, addresses }
}

impl Indexed {
    fn find(&self, query: &str, most: usize) -> Vec<&str> {
        let query = AddressQuery::parse(query).unwrap();
        let hits = self.finder.find(&query, most, most).unwrap();
        hits.iter().map(|h| self.addresses[h.building.value().parse::<usize>().unwrap() - 1].as_str()).collect()
    }
}

/// What is typed, what must come first.
const FIRST: &[(&str, &str)] = &[
    // The two forms of the issue, and their kin.
    ("ленина 5к2", "пр-кт. Ленина, д. 5, к. 2"),
    ("пр-т Ленина, д. 5, корп. 2", "пр-кт. Ленина, д. 5, к. 2"),
    ("проспект ленина 5/2", "пр-кт. Ленина, д. 5, к. 2"),
    ("Ленина проспект, дом № 5, корпус 2", "пр-кт. Ленина, д. 5, к. 2"),
    ("просп. Ленина 5 к. 2", "пр-кт. Ленина, д. 5, к. 2"),
    ("ЛЕНИНА 5К2", "пр-кт. Ленина, д. 5, к. 2"),
    ("5к2 ленина", "пр-кт. Ленина, д. 5, к. 2"),
    ("ленина 5к2 петрозаводск", "пр-кт. Ленина, д. 5, к. 2"),
    ("петрозаводск ленина 5к2", "пр-кт. Ленина, д. 5, к. 2"),
    ("Карелия, Петрозаводск, пр. Ленина, 5, корп 2", "пр-кт. Ленина, д. 5, к. 2"),
    ("ленина 5с2", "пр-кт. Ленина, д. 5, стр. 2"),
    ("ленина 5 строение 2", "пр-кт. Ленина, д. 5, стр. 2"),
    ("пр-т Ленина 5", "пр-кт. Ленина, д. 5"),
    ("пр-кт Ленина д 15", "пр-кт. Ленина, д. 15"),
    ("на проспекте Ленина 5", "пр-кт. Ленина, д. 5"),
    ("ленина 5, квартира 12, петрозаводск проспект", "пр-кт. Ленина, д. 5"),
    ("Ленина 5-17 петрозаводск", "пр-кт. Ленина, д. 5"),
    // Declined.
    ("на Большой Ордынке 7", "ул. Ордынка Б., д. 7"),
    ("малую ордынку 7", "ул. Ордынка М., д. 7"),
    ("Б. Ордынка 7", "ул. Ордынка Б., д. 7"),
    ("дом 22 по улице Приорова", "ул. Приорова, д. 22"),
    ("улице Генерала Рычагова 9", "ул. Генерала Рычагова, д. 9"),
    ("на Красноармейской, дом 13", "ул. Красноармейская, д. 13"),
    ("в Кондопоге на площади Ленина 3", "пл. Ленина, д. 3"),
    ("в Олонце на улице Ленина 21", "г. Олонец, ул. Ленина, д. 21"),
    ("с верхней масловки 7", "ул. Масловка Верхн., д. 7"),
    // ё, Latin letters, signs of every sort.
    ("королёва 3", "ул. Королёва, д. 3"),
    ("королева 3", "ул. Королёва, д. 3"),
    ("Koпteвckaя 8", "ул. Коптевская, д. 8"),
    ("«Коптевская» ул. — д. 8", "ул. Коптевская, д. 8"),
    ("ул.Коптевская,д.18Б", "ул. Коптевская, д. 18Б"),
    ("коптевская 18 б", "ул. Коптевская, д. 18Б"),
    ("коптевская 16 корпус 3", "ул. Коптевская, д. 16, к. 3"),
    ("коптевский бульвар 16к3", "б-р. Коптевский, д. 16, к. 3"),
    ("бульвар коптевский, 11а", "б-р. Коптевский, д. 11А"),
    ("б-р Матроса Железняка 7/20", "б-р. Матроса Железняка, д. 7/20"),
    ("железняка 9", "б-р. Матроса Железняка, д. 9"),
    // Numbers in names.
    ("8 марта 9", "ул. 8 Марта, д. 9"),
    ("4-я 8 марта 5", "ул. 8 Марта 4-я, д. 5"),
    ("улица 8-го марта, 15", "ул. 8 Марта, д. 15"),
    ("3-й Михалковский пер 14к1", "пер. Михалковский 3-й, д. 14, к. 1"),
    ("михалковский 3-й переулок, 14 к 1", "пер. Михалковский 3-й, д. 14, к. 1"),
    ("1 новомихалковский 4", "проезд. Новомихалковский 1-й, д. 4"),
    ("26 бакинских комиссаров 4к3", "ул. 26-ти Бакинских Комиссаров, д. 4, к. 3"),
    ("30-летия победы 5", "ул. 30-летия Победы, д. 5"),
    ("800 летия москвы 16к1", "ул. 800-летия Москвы, д. 16, к. 1"),
    // Types decide between namesakes, and are not needed.
    ("октябрьский проспект 4в", "пр-кт. Октябрьский, д. 4В"),
    ("октябрьское шоссе 21", "ш. Октябрьское, д. 21"),
    ("проезд солнечногорский 11", "проезд. Солнечногорский, д. 11"),
    ("солнечногорская 11", "ул. Солнечногорская, д. 11"),
    ("набережная 17", "ул. Набережная, д. 17"),
    ("пречистенская набережная 5", "наб. Пречистенская, д. 5"),
    ("аллея петровско разумовская 16", "аллея. Петровско-Разумовская, д. 16"),
    ("петровско-разумовская аллея 16", "аллея. Петровско-Разумовская, д. 16"),
    ("Большой Балканский 5", "пер. Балканский Б., д. 5"),
    ("красносельская верхняя 24", "ул. Красносельская Верхн., д. 24"),
    // Town and street in any order.
    ("пряжа советская 15", "пгт. Пряжа, ул. Советская, д. 15"),
    ("советская 15 пряжа", "пгт. Пряжа, ул. Советская, д. 15"),
    ("шуя советская 12", "п. Шуя, ул. Советская, д. 12"),
    ("посёлок Шуя, Школьная улица, 11", "п. Шуя, ул. Школьная, д. 11"),
    ("олонец карла маркса 18", "г. Олонец, ул. Карла Маркса, д. 18"),
    ("кемь гидростроителей 9", "г. Кемь, ул. Гидростроителей, д. 9"),
    ("185000 петрозаводск калинина 25", "г. Петрозаводск, ул. Калинина, д. 25"),
    ("М.Горького 20 кондопога", "г. Кондопога, ул. М.Горького, д. 20"),
    ("горького 20", "г. Кондопога, ул. М.Горького, д. 20"),
    ("перовской 4", "ул. С.Перовской, д. 4"),
    // A letter wrong or left out, two swapped.
    ("черняховскго 8", "ул. Черняховского, д. 8"),
    ("грохольски 28", "пер. Грохольский, д. 28"),
    ("каланчовская 22", "ул. Каланчевская, д. 22"),
    ("мясниицкая 15", "ул. Мясницкая, д. 15"),
    ("петрозаводкс калинина 25", "г. Петрозаводск, ул. Калинина, д. 25"),
    // While typing.
    ("усиев", "ул. Усиевича, д. 1"),
    ("лихоборские бу", "ул. Лихоборские Бугры, д. 3"),
    ("клары цет", "ул. Клары Цеткин, д. 18, к. 1"),
    ("ленина 5к", "пр-кт. Ленина, д. 5, к. 1"),
    ("генерала рычагова 3к", "ул. Генерала Рычагова, д. 3, к. 1"),
    // Letters of houses.
    ("карла либкнехта 47а", "ул. Карла Либкнехта, д. 47"),
    ("калинина 24 корпус А петрозаводск", "ул. Калинина, д. 24, к. А"),
    ("школьная 30 лит а олонец", "ул. Школьная, д. 30"),
    // A word that no address has.
    ("москва район коптево коптевская 34", "ул. Коптевская, д. 34"),
    ("москва сао онежская 17", "ул. Онежская, д. 17"),
];

/// What is typed, and what must be among the first three.
const AMONG: &[(&str, &str)] = &[
    ("ленин", "Ленин"),
    ("больш ордын", "ул. Ордынка Б., д. 7"),
    ("ордынка", "ул. Ордынка М., д. 7"),
    ("советская 5", "п. Шуя, ул. Советская, д. 5"),
    ("парковая 9", "ул. Парковая, д. 9"),
    ("лен", "Лен"),
    ("дмитровское ш", "ш. Дмитровское, д. 64, к. 1"),
    ("ореликов 6", "пер. Орликов, д. 6"),
];

#[test]
fn people_find_the_building_they_mean() {
    let mut wrong = Vec::new();
    for (many, table) in [(1, FIRST), (3, AMONG)] {
        for (query, wanted) in table {
            let found = SAMPLE.find(query, 10);
            if !found.iter().take(many).any(|a| a.contains(wanted)) {
                wrong.push(format!("«{query}»: {:?}", found.iter().take(4).collect::<Vec<_>>()));
            }
        }
    }
    assert!(FIRST.len() >= 60);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), FIRST.len() + AMONG.len(), wrong.join("\n"));
}

#[test]
fn the_house_that_is_named_comes_before_its_neighbours() {
    let houses = |query: &str| -> Vec<String> {
        let found = SAMPLE.find(query, 20);
        found.iter().filter_map(|a| a.split_once("пр-кт. Ленина, д. ")).map(|(_, house)| house.to_owned()).collect()
    };
    assert_eq!(houses("петрозаводск проспект ленина 5"), ["5", "5, к. 1", "5, к. 2", "5, стр. 2", "52"]);
    assert_eq!(houses("петрозаводск проспект ленина 5к2")[..2], ["5, к. 2", "5, стр. 2"]);
    assert!(houses("ленина 99").is_empty(), "another house is no answer");
}

#[test]
fn signs_are_plain_text() {
    for query in
        ["+коптевская +8", "words:коптевская 8", "коптевская~2 8", "\"коптевская\" \"8\"", "коптевская 8 \\ \" ^"]
    {
        let words = query.replace(|c: char| !c.is_alphanumeric(), " ");
        assert_eq!(SAMPLE.find(query, 5), SAMPLE.find(&words, 5), "{query}");
    }
    assert_eq!(SAMPLE.find("+коптевская +8", 1), ["г. Москва, ул. Коптевская, д. 8"]);
    // No operator widens, none excludes.
    for query in ["*", "*:*", "[* TO *]", "/.*/", "keys:t", "id:*", "-коптевская", "коптевская AND 8 OR *"]
    {
        let found = SAMPLE.find(query, 20);
        assert!(found.len() < 20 || found.iter().all(|a| a.contains("Коптевск")), "{query}: {found:?}");
    }
    for nothing in ["", " ", "👍👍 🏠", "…", "((((", "\u{202e}\u{200f}", "\0", "ул", "שלום", "дом", "а"]
    {
        assert!(SAMPLE.find(nothing, 20).len() <= 20, "{nothing:?}");
    }
}

#[test]
fn what_is_too_long_is_refused_and_never_searched() {
    let code = |text: &str| AddressQuery::parse(text).map(drop).unwrap_err().code();
    assert_eq!(code(&"а".repeat(MAX_QUERY / 2 + 1)), "search.long");
    assert_eq!(code(&"аб ".repeat(MAX_WORDS + 1)), "search.long");
    assert!(AddressQuery::parse(&"а".repeat(MAX_QUERY / 2)).is_ok());
}

/// What tells an address: «4А» and «4, лит. а» are one, and a remark in brackets says nothing.
fn told(address: &str) -> AddressWords {
    AddressWords { other: Vec::new(), ..AddressWords::of(address) }
}

/// Where the building is found by `query`: the number of others before it that are another address.
fn before(ix: &Indexed, at: usize, query: &str) -> Option<usize> {
    let own = told(&ix.addresses[at]);
    ix.find(query, 5).iter().position(|a| told(a) == own)
}

/// «ул. Коптевская, д. 8, к. 1»: all from the street on, which is the last part before the house.
fn street_and_house(address: &str) -> Option<String> {
    let (places, house) = address.split_once(", д. ")?;
    Some(format!("{}, д. {house}", places.rsplit(", ").next()?))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// A building's own address finds it, or one of the same address, first; street and house find it among those of the
    /// same street and house elsewhere.
    #[test]
    fn every_building_finds_itself(n in any::<prop::sample::Index>(), noise in "[ ,.]{0,3}") {
        let at = n.index(SAMPLE.addresses.len());
        let address = &SAMPLE.addresses[at];
        prop_assert_eq!(before(&SAMPLE, at, &format!("{noise}{address}{noise}")), Some(0), "{}", address);
        if let Some(short) = street_and_house(address) {
            let same = SAMPLE.addresses.iter().filter(|a| street_and_house(a).as_ref() == Some(&short)).count();
            let found = before(&SAMPLE, at, &short);
            prop_assert!(found.is_some_and(|n| n < same.max(1)), "{}: {:?} of {}", short, found, same);
        }
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,60}|[а-яё0-9 .,/к-]{0,80}") {
        if let Ok(query) = AddressQuery::parse(&text) {
            prop_assert!(SAMPLE.finder.find(&query, 5, 5).unwrap().len() <= 5);
        }
    }
}

/// Whole regions, where they are at hand: every building by its full address and by street and house with its town.
#[test]
fn every_building_of_a_region_finds_itself() {
    for name in ["10_karelia_20160920.csv.gz", "77_moscow_20170614.csv.gz", "60_pskov_20161003.csv.gz"] {
        let Some(rows) = data::rows(name) else { continue };
        let ix = indexed(rows.into_iter().map(|mut r| r.remove("ADDRESS").unwrap()).collect());
        let (mut first, mut all) = (0, 0);
        let mut shown = 0;
        for at in (0..ix.addresses.len()).step_by(23) {
            all += 1;
            match before(&ix, at, &ix.addresses[at]) {
                Some(0) => first += 1,
                other if shown < 8 => {
                    shown += 1;
                    eprintln!("  {other:?} «{}»: {:?}", ix.addresses[at], ix.find(&ix.addresses[at], 2));
                }
                _ => {}
            }
        }
        eprintln!("{name}: {all} buildings, first by their own address: {first}");
        assert!(first * 1000 >= all * 995, "{name}: {first} of {all}");
    }
}
