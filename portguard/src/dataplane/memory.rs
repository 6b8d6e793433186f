//! Maps that the programs reach by their address, without a look-up. They have one element, and are made here: aya makes such maps of
//! sections alone, and writes to them what the section has, also where other programs are at work with them.

use std::os::fd::{AsFd as _, BorrowedFd};

use aya::maps::{Map, MapData, MapError};
use portguard_common::constant::Memory;

use super::generation::LoadError;
use super::state::{Shape, State};
use super::{fill, sys};

/// Bytes of one that the policy has no use for.
const UNUSED: usize = 8;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    /// Bytes; 0 where the policy has no use for it.
    pub(super) bytes: usize,
    /// It outlives the generation, where state is kept.
    pub(super) is_shared: bool,
}

/// A map for each [`Memory`], by its number.
#[derive(Debug)]
pub(super) struct Maps(Vec<Map>);

impl Maps {
    /// Takes those that are pinned, and makes the others.
    pub(super) fn open(
        requests: &[Request; Memory::COUNT],
        state: Option<&State>,
    ) -> Result<Self, LoadError> {
        let maps = Memory::ALL
            .into_iter()
            .zip(requests)
            .map(|(memory, request)| {
                let state = state.filter(|_| request.is_shared && request.bytes > 0);
                open(memory.name(), request.bytes.max(UNUSED), state)
            });
        Ok(Self(maps.collect::<Result<_, _>>()?))
    }

    /// Their descriptors.
    pub(super) fn descriptors(&self) -> Result<Vec<BorrowedFd<'_>>, LoadError> {
        let maps = Memory::ALL.into_iter().zip(&self.0);
        maps.map(|(memory, map)| match map {
            Map::Array(map) => Ok(map.fd().as_fd()),
            _ => Err(LoadError::Missing(memory.name())),
        })
        .collect()
    }

    /// One of them.
    pub(super) fn get(&self, memory: Memory) -> &Map {
        &self.0[memory as usize]
    }

    /// The one of this name.
    pub(super) fn by_name(&self, name: &str) -> Option<&Map> {
        let memory = Memory::ALL.into_iter().find(|own| own.name() == name);
        memory.map(|memory| self.get(memory))
    }
}

fn open(name: &'static str, bytes: usize, state: Option<&State>) -> Result<Map, LoadError> {
    if let Some(state) = state {
        state.check(&[(name, Shape::of_one(bytes))])?;
        if let Some(map) = state.pinned(name)? {
            return Ok(map);
        }
    }
    let made = sys::create_memory(name, bytes);
    let made = made.map_err(|error| fill::refused(&error).unwrap_or(LoadError::Memory(error)))?;
    let map = MapData::from_fd(made).and_then(Map::from_map_data);
    let map = map.map_err(|source| LoadError::Map { name, source })?;
    if let Some(state) = state {
        let pinned = map
            .pin(state.path(name))
            .map_err(|error| MapError::PinError {
                name: Some(name.into()),
                error,
            });
        pinned.map_err(LoadError::State)?;
    }
    Ok(map)
}
