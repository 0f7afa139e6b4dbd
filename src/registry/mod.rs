//! The registry's own subject matter, pure: ids, records, signatures, rules, state, state map. No disk, network, clock or
//! randomness; time is passed in.
//!
//! Data passes in this order. Bytes of an entry → [`envelope`] (canonical JWS, decoded) → [`record`] and [`body`] (what it
//! says) or [`node_record`] (what the node itself writes) → [`verify`] (signatures, many at once; the verdict on one is
//! [`signature`]'s) → [`rules`], [`chat_rules`] and their kin (may it join the log now?) → [`state`] (an overlay applies it, by
//! [`facts::evolve`]) → [`statemap`] (the root that every `state.committed` names). [`replay`] drives that for a whole
//! log, for the node that follows one and for the node that starts anew. What several regions say together is hashed in
//! [`union_map`] and [`link_map`], and sent as a [`bucket_file`] or a proof
//! of [`absence`].
//!
//! What must never happen here: an unverified record reaching state; a rule that looks at a clock; a float, a hash-map
//! order or a locale deciding anything that is hashed.

pub mod absence;
pub mod address;
mod address_index;
mod address_tokens;
pub mod address_words;
pub mod body;
pub mod bucket_file;
pub mod chat_rules;
pub mod check_code;
mod corrections;
pub mod envelope;
mod evolve;
pub mod facts;
pub mod federation_step;
pub mod forms;
pub mod identity_rules;
pub mod ids;
pub mod jurisdiction;
pub mod link;
pub mod link_map;
pub mod lookalike;
pub mod map_proof;
pub mod multi_proof;
pub mod node_record;
mod note_rules;
pub mod record;
pub mod regions;
pub mod replay;
pub mod row;
pub mod rules;
pub mod secret_link;
pub mod signature;
pub mod state;
pub mod state_proof;
pub mod statemap;
pub mod status_proof;
pub mod strict;
pub mod text;
pub mod transfer;
mod transfer_rules;
pub mod union_map;
pub mod verify;
pub mod z85;
