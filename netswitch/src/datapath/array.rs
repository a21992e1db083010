//! An array of which few elements are not zero.

use std::os::fd::{AsFd as _, OwnedFd};

use aya::{
    Pod,
    maps::{self, Map, MapData, MapError},
};

use super::batch::{self, Sizes};

pub(super) struct Array<V: Pod> {
    elements: maps::Array<MapData, V>,
    /// The same map: aya's handle lends no descriptor.
    descriptor: OwnedFd,
}

impl<V: Pod + Default> Array<V> {
    pub(super) fn get(&self, index: u32) -> Result<V, MapError> {
        self.elements.get(&index, 0)
    }

    pub(super) fn set(&mut self, index: u32, value: V) -> Result<(), MapError> {
        self.elements.set(index, value, 0)
    }

    /// Every element that is not zero, with its index. 65,536 of them are read in a few system calls.
    pub(super) fn written(&self) -> Result<Vec<(u32, V)>, MapError> {
        let sizes = Sizes {
            key: size_of::<u32>(),
            value: size_of::<V>(),
        };
        let zero = vec![0; sizes.value];
        let mut written = Vec::new();
        batch::read_all(self.descriptor.as_fd(), sizes, |key, value| {
            if value != zero
                && let Ok(index) = key.try_into()
            {
                // SAFETY: `value` has the size of a V, which any bytes are one of
                let value = unsafe { value.as_ptr().cast::<V>().read_unaligned() };
                written.push((u32::from_ne_bytes(index), value));
            }
        })?;
        Ok(written)
    }
}

impl<V: Pod> TryFrom<Map> for Array<V> {
    type Error = MapError;

    fn try_from(map: Map) -> Result<Self, MapError> {
        let descriptor = match &map {
            Map::Array(data) => data.fd().as_fd().try_clone_to_owned()?,
            _ => return Err(MapError::InvalidMapType { map_type: 0 }),
        };
        Ok(Self {
            elements: maps::Array::try_from(map)?,
            descriptor,
        })
    }
}
