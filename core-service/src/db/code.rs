//! Enums in text columns: a column holds the very word that stands on the wire.

use super::DbError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The word for a value of a fieldless enum.
pub fn to_text<T: Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text,
        other => unreachable!("only fieldless enums are stored as words, not {other:?}"),
    }
}

/// The value of a stored word.
pub fn from_text<T: DeserializeOwned>(text: String) -> Result<T, DbError> {
    serde_json::from_value(Value::String(text)).map_err(DbError::from)
}
