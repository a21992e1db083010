//! The state on disk: load, save, nothing else. One write transaction per request.

use std::path::Path;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::{Serialize, de::DeserializeOwned};

use crate::model::{Id, changes::Changes, forwarding, policy::Policy, reserved_ports::Record, state::State};

/// Raised when a record's meaning changes; an agent refuses a store that is newer than itself.
const FORMAT: u64 = 1;

type Table = TableDefinition<'static, &'static str, &'static [u8]>;

const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const NUMBERS: Table = TableDefinition::new("numbers");
const NETWORKS: Table = TableDefinition::new("networks");
const CONTAINERS: Table = TableDefinition::new("containers");
/// The policy, whole, at [`POLICY_KEY`].
const POLICY: Table = TableDefinition::new("policy");
const POLICY_KEY: &str = "all";
const SANDBOXES: Table = TableDefinition::new("sandboxes");
const ENDPOINTS: Table = TableDefinition::new("endpoints");
/// What we changed of the host itself.
const HOST: Table = TableDefinition::new("host");
/// Its key for reserved ports and the boot they were reserved in.
const RESERVED_PORTS: &str = "reserved";
/// And for what lets its stack forward.
const FORWARDING: &str = "forwarding";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("store: {0}")]
    Database(#[from] redb::Error),
    #[error("store: record {key} in {table}: {source}")]
    Record {
        table: &'static str,
        key: String,
        source: serde_json::Error,
    },
    #[error("store: format {found} is newer than this netswitch, which knows {FORMAT}")]
    TooNew { found: u64 },
}

/// Turns redb's error per operation into its common one.
macro_rules! database {
    ($result:expr) => {
        $result.map_err(|error| Error::Database(error.into()))?
    };
}

pub struct Store {
    database: Database,
}

impl Store {
    /// Opens or creates `path`. A damaged file is an error; nothing is thrown away.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let database = database!(Database::create(path));
        let transaction = database!(database.begin_write());
        {
            let mut meta = database!(transaction.open_table(META));
            let found = database!(meta.get("format")).map(|value| value.value());
            match found {
                Some(found) if found > FORMAT => return Err(Error::TooNew { found }),
                Some(_) => {}
                None => drop(database!(meta.insert("format", FORMAT))),
            }
            for table in [NUMBERS, NETWORKS, CONTAINERS, SANDBOXES, ENDPOINTS, POLICY, HOST] {
                database!(transaction.open_table(table));
            }
        }
        database!(transaction.commit());
        Ok(Self { database })
    }

    pub fn load(&self) -> Result<State, Error> {
        let transaction = database!(self.database.begin_read());
        let numbers = read(&transaction, "numbers", NUMBERS)?.pop().unwrap_or_default();
        let policy: Policy = read(&transaction, "policy", POLICY)?.pop().unwrap_or_default();
        Ok(State::load(
            read(&transaction, "networks", NETWORKS)?,
            read(&transaction, "containers", CONTAINERS)?,
            read(&transaction, "sandboxes", SANDBOXES)?,
            read(&transaction, "endpoints", ENDPOINTS)?,
            policy.into(),
            numbers,
        ))
    }

    /// All of `changes` or none of it, on disk when this returns. Nothing is written where nothing has changed.
    pub fn save(&self, changes: &Changes) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let transaction = database!(self.database.begin_write());
        write(&transaction, "networks", NETWORKS, changes.networks.iter())?;
        write(&transaction, "containers", CONTAINERS, changes.containers.iter())?;
        write(&transaction, "sandboxes", SANDBOXES, changes.sandboxes.iter())?;
        write(&transaction, "endpoints", ENDPOINTS, changes.endpoints.iter())?;
        if let Some(policy) = &changes.policy {
            let (key, policy) = (Id(POLICY_KEY.into()), Some(&**policy));
            write(&transaction, "policy", POLICY, std::iter::once((&key, &policy)))?;
        }
        if changes.numbers.is_some() {
            let key = Id("all".into());
            write(
                &transaction,
                "numbers",
                NUMBERS,
                std::iter::once((&key, &changes.numbers)),
            )?;
        }
        database!(transaction.commit());
        Ok(())
    }

    /// Which of the host's reserved ports are there for us.
    pub fn reserved_ports(&self) -> Result<Record, Error> {
        self.of_host(RESERVED_PORTS)
    }

    pub fn set_reserved_ports(&self, record: &Record) -> Result<(), Error> {
        self.set_of_host(RESERVED_PORTS, record)
    }

    /// Which of the host's settings we have changed so that its stack forwards.
    pub fn forwarding(&self) -> Result<forwarding::Record, Error> {
        self.of_host(FORWARDING)
    }

    pub fn set_forwarding(&self, record: &forwarding::Record) -> Result<(), Error> {
        self.set_of_host(FORWARDING, record)
    }

    fn of_host<V: DeserializeOwned + Default>(&self, key: &str) -> Result<V, Error> {
        let transaction = database!(self.database.begin_read());
        let table = database!(transaction.open_table(HOST));
        match database!(table.get(key)) {
            Some(value) => parse("host", key, value.value()),
            None => Ok(V::default()),
        }
    }

    fn set_of_host<V: Serialize>(&self, key: &str, value: &V) -> Result<(), Error> {
        let transaction = database!(self.database.begin_write());
        let record = (Id(key.into()), Some(value));
        write(&transaction, "host", HOST, std::iter::once((&record.0, &record.1)))?;
        database!(transaction.commit());
        Ok(())
    }
}

fn read<V: DeserializeOwned>(
    transaction: &redb::ReadTransaction,
    name: &'static str,
    table: Table,
) -> Result<Vec<V>, Error> {
    let table = database!(transaction.open_table(table));
    let mut records = Vec::new();
    for record in database!(table.iter()) {
        let (key, value) = database!(record);
        records.push(parse(name, key.value(), value.value())?);
    }
    Ok(records)
}

fn parse<V: DeserializeOwned>(table: &'static str, key: &str, value: &[u8]) -> Result<V, Error> {
    serde_json::from_slice(value).map_err(|source| Error::Record {
        table,
        key: key.to_owned(),
        source,
    })
}

fn write<'a, V: Serialize + 'a>(
    transaction: &redb::WriteTransaction,
    name: &'static str,
    table: Table,
    records: impl Iterator<Item = (&'a Id, &'a Option<V>)>,
) -> Result<(), Error> {
    let mut table = database!(transaction.open_table(table));
    for (id, value) in records {
        match value {
            None => drop(database!(table.remove(id.0.as_str()))),
            Some(value) => {
                let bytes = serde_json::to_vec(value).map_err(|source| Error::Record {
                    table: name,
                    key: id.0.clone(),
                    source,
                })?;
                database!(table.insert(id.0.as_str(), bytes.as_slice()));
            }
        }
    }
    Ok(())
}
