//! The files of a ГАР export: which is which by its name, from the zip as it is published or from a folder it was unpacked to.

use std::io::Read;

use super::archive::{self, ZipEntry};
use super::cells::day_of_name;
use super::gar_xml::{self, Bounds};
use super::input::{Input, is_zip};
use super::table::Limits;
use crate::error::{Error, Result};
use crate::registry::ids::RegionCode;
use crate::registry::text::Day;

/// A list of the export, by the beginning of its file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Houses,
    HouseParams,
    Objects,
    AdmHierarchy,
    MunHierarchy,
    Apartments,
    HouseTypes,
    AddHouseTypes,
    ParamTypes,
}

/// List, name before the date, root and element.
const LISTS: &[(List, &str, (&str, &str))] = &[
    (List::Houses, "AS_HOUSES", ("HOUSES", "HOUSE")),
    (List::HouseParams, "AS_HOUSES_PARAMS", ("PARAMS", "PARAM")),
    (List::Objects, "AS_ADDR_OBJ", ("ADDRESSOBJECTS", "OBJECT")),
    (List::AdmHierarchy, "AS_ADM_HIERARCHY", ("ITEMS", "ITEM")),
    (List::MunHierarchy, "AS_MUN_HIERARCHY", ("ITEMS", "ITEM")),
    (List::Apartments, "AS_APARTMENTS", ("APARTMENTS", "APARTMENT")),
    (List::HouseTypes, "AS_HOUSE_TYPES", ("HOUSETYPES", "HOUSETYPE")),
    (List::AddHouseTypes, "AS_ADDHOUSE_TYPES", ("HOUSETYPES", "HOUSETYPE")),
    (List::ParamTypes, "AS_PARAM_TYPES", ("PARAMTYPES", "PARAMTYPE")),
];

/// Most elements of a list: the largest region has some hundred million parameters.
const MAX_ELEMENTS: u64 = 1_000_000_000;

fn refuse(why: impl std::fmt::Display) -> Error {
    Error::refuse(
        "import.gar",
        format!("the export of ГАР cannot be read: {why}"),
        "give the zip as it is published, or the folder with the files of one region and the dictionaries beside it",
    )
}

/// Where a file's bytes are.
enum Place {
    Entry(ZipEntry),
    File(usize),
}

/// The lists of one region.
pub struct Files<'a> {
    inputs: Vec<Input<'a>>,
    found: Vec<(List, String, Place)>,
    bounds: Bounds,
}

/// What a name of a file says: the list, and the folder it lies in.
fn list_of(path: &str) -> Option<(List, &str)> {
    let path = path.trim_end_matches('/');
    let (folder, name) = path.rsplit_once(['/', '\\']).unwrap_or(("", path));
    let upper = name.to_uppercase();
    let rest = upper.strip_suffix(".XML")?;
    // AS_HOUSES_20231030_8843bf87-…: what stands before the date names the list.
    let list = rest.char_indices().find_map(|(i, c)| {
        let dated = c == '_' && rest[i + 1..].starts_with(|c: char| c.is_ascii_digit());
        dated.then(|| &rest[..i])
    });
    let list = list.unwrap_or(rest);
    LISTS.iter().find(|(_, known, _)| *known == list).map(|(list, ..)| (*list, folder))
}

impl<'a> Files<'a> {
    /// The lists in a zip; none when it is no export of ГАР.
    ///
    /// # Errors
    /// `import.zip`, `import.gar`.
    pub fn of_zip(input: &Input<'a>, region: Option<RegionCode>, limits: &Limits) -> Result<Option<Files<'a>>> {
        if !is_zip(&input.head(4)?) {
            return Ok(None);
        }
        // Another zip that is broken is for its own reader to refuse.
        let Ok(entries) = archive::entries(input) else { return Ok(None) };
        if !entries.iter().any(|e| list_of(&e.name).is_some()) {
            return Ok(None);
        }
        let named = entries.into_iter().map(|e| (e.name.clone(), Place::Entry(e))).collect();
        Files::choose(vec![input.clone()], named, region, limits).map(Some)
    }

    /// The lists among files of a folder and those below it, named by their paths.
    ///
    /// # Errors
    /// `import.gar`.
    pub fn of_folder(
        files: Vec<(String, Input<'a>)>,
        region: Option<RegionCode>,
        limits: &Limits,
    ) -> Result<Files<'a>> {
        let (names, inputs): (Vec<String>, Vec<Input<'a>>) = files.into_iter().unzip();
        let named = names.into_iter().enumerate().map(|(i, name)| (name, Place::File(i))).collect();
        Files::choose(inputs, named, region, limits)
    }

    fn choose(
        inputs: Vec<Input<'a>>,
        named: Vec<(String, Place)>,
        region: Option<RegionCode>,
        limits: &Limits,
    ) -> Result<Files<'a>> {
        // Regions lie in folders with their numbers; without such folders everything is the region's.
        let of_region = |folder: &str| {
            let last = folder.rsplit(['/', '\\']).next().unwrap_or_default();
            let number = (last.len() == 2).then(|| last.parse::<u8>().ok()).flatten();
            number.is_none() || region.is_none_or(|r| Some(r.number()) == number)
        };
        let bounds = Bounds { bytes: limits.bytes, elements: MAX_ELEMENTS };
        let mut files = Files { inputs, found: Vec::new(), bounds };
        for (path, place) in named {
            let Some((list, folder)) = list_of(&path) else { continue };
            if !of_region(folder) {
                continue;
            }
            if let Some((_, other, _)) = files.found.iter().find(|(l, ..)| *l == list) {
                return Err(refuse(format!("«{other}» and «{path}» are the same list; leave one of them")));
            }
            files.found.push((list, path, place));
        }
        for list in [List::Houses, List::HouseParams, List::Objects, List::AdmHierarchy] {
            if !files.has(list) {
                return Err(refuse(format!("there is no {}_….XML (of this region)", name(list))));
            }
        }
        Ok(files)
    }

    /// Whether there is such a list.
    pub(super) fn has(&self, list: List) -> bool {
        self.found.iter().any(|(l, ..)| *l == list)
    }

    /// Reads a list; one that is not there is empty.
    pub(super) fn each<const N: usize>(
        &self,
        list: List,
        names: [&str; N],
        found: impl FnMut(u64, [&str; N]) -> Result<()>,
    ) -> Result<u64> {
        let (Some((_, path, place)), Some((.., root))) =
            (self.found.iter().find(|(l, ..)| *l == list), LISTS.iter().find(|(l, ..)| *l == list))
        else {
            return Ok(0);
        };
        let stream: Box<dyn Read + 'a> = match place {
            Place::Entry(entry) => archive::open(&self.inputs[0], entry)?,
            Place::File(i) => Box::new(self.inputs[*i].open()?),
        };
        gar_xml::each(stream, path, self.bounds, *root, names, found)
    }

    /// The day of the export, as the name of its list of houses says.
    pub fn day(&self) -> Option<Day> {
        let (_, path, _) = self.found.iter().find(|(l, ..)| *l == List::Houses)?;
        day_of_name(path)
    }

    /// The refusal of an export that does not say enough.
    pub(super) fn lacks(&self, what: &str) -> Error {
        refuse(what)
    }
}

fn name(list: List) -> &'static str {
    LISTS.iter().find(|(l, ..)| *l == list).map_or("", |(_, name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_told_by_their_names() {
        let of = |name: &str| list_of(name).map(|(l, folder)| (l, folder.to_owned()));
        let some = |l, folder: &str| Some((l, folder.to_owned()));
        assert_eq!(of("72/AS_HOUSES_20231030_8843bf87-c334-4411-ae45-81b575e2fa6f.XML"), some(List::Houses, "72"));
        assert_eq!(of("AS_HOUSES_PARAMS_20231030_42e305b4.XML"), some(List::HouseParams, ""));
        assert_eq!(of("a/72/as_addr_obj_20230710_70c6049e.xml"), some(List::Objects, "a/72"));
        for other in [
            "AS_ADDR_OBJ_PARAMS_20231030_9.XML",
            "AS_ADDR_OBJ_DIVISION_20230710_1.XML",
            "AS_HOUSES.pdf",
            "version.txt",
            "",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn a_region_has_one_of_each_list() {
        let files = |names: &[&str]| {
            let files = names.iter().map(|n| ((*n).to_owned(), Input::from(&b""[..]))).collect();
            Files::of_folder(files, RegionCode::new(72).ok(), &Limits::default())
        };
        let whole =
            ["72/AS_HOUSES_1.XML", "72/AS_HOUSES_PARAMS_1.XML", "72/AS_ADDR_OBJ_1.XML", "72/AS_ADM_HIERARCHY_1.XML"];
        assert!(files(&whole).is_ok());
        let with =
            |more: &'static str| files(&[&whole[..], &[more]].concat()).map(|f| f.found.len()).map_err(|e| e.code());
        assert_eq!(with("77/AS_HOUSES_1.XML"), Ok(4), "another region's");
        assert_eq!(with("AS_HOUSE_TYPES_1.XML"), Ok(5));
        assert_eq!(with("72/AS_HOUSES_2.XML"), Err("import.gar"));
        let missing = files(&whole[1..]).err().unwrap();
        assert!(missing.detail().contains("AS_HOUSES_"), "{missing}");
    }
}
