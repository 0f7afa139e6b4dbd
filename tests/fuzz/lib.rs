//! The fuzz targets' shared part: [`entries`], and the world of the integration tests that they submit records to.

pub mod entries;
#[path = "../it/rules/generate.rs"]
pub mod generate;
#[path = "../it/rules/world.rs"]
pub mod world;
