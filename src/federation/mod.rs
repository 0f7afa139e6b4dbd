//! The federation: which regions take part, and with which keys ([`charter`]). Pure; knows neither disk nor network.

pub mod charter;
