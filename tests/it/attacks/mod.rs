//! Attacks, one named test each (docs/threat-model.md).

mod charters;
