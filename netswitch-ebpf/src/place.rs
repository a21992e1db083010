//! Place: memory that several functions hold at the same time and that any of them may write.
//!
//! All of it are cells: a shared reference to a cell promises nobody that the value stays as it is, so the compiler reads
//! it again where it may have changed.

use core::{cell::Cell, mem::MaybeUninit, ops::Deref};

/// A field of what lies in a cell, as a cell of its own: `part!(read.tuple, from_port)`.
macro_rules! part {
    ($cell:expr, $($field:tt)+) => {{
        let cell: &core::cell::Cell<_> = &$cell;
        // SAFETY: a field of what the cell holds
        unsafe { $crate::place::field(cell, &raw mut (*cell.as_ptr()).$($field)+) }
    }};
}
pub(crate) use part;

/// # Safety
/// `field` must be a field of what the cell holds.
#[inline(always)]
pub unsafe fn field<S, T>(_cell: &Cell<S>, field: *mut T) -> &Cell<T> {
    // SAFETY: it lives as long as the cell, and who writes it through another cell is on the same CPU
    unsafe { &*field.cast() }
}

/// What a helper reads as a map's key or value, wherever it lies.
pub trait Readable<T> {
    /// For a helper, which is done with it when it returns.
    fn pointer(&self) -> *const T;
}

impl<T> Readable<T> for T {
    #[inline(always)]
    fn pointer(&self) -> *const T {
        self
    }
}

impl<T> Readable<T> for Cell<T> {
    #[inline(always)]
    fn pointer(&self) -> *const T {
        self.as_ptr()
    }
}

/// A copy word by word: a value that is read as a whole and then written lies on the stack in between.
#[inline(always)]
pub fn copy<T: Copy>(from: &impl Readable<T>, to: &Cell<T>) {
    const { assert!(size_of::<T>().is_multiple_of(size_of::<u32>()) && align_of::<T>() >= align_of::<u32>()) };
    let (from, to) = (
        from.pointer().cast::<MaybeUninit<u32>>(),
        to.as_ptr().cast::<MaybeUninit<u32>>(),
    );
    for word in 0..size_of::<T>() / size_of::<u32>() {
        // SAFETY: inside of both, which hold a `T`; padding is copied, too
        unsafe { *to.add(word) = *from.add(word) };
    }
}

/// Room for what one function needs while it runs and the stack has no room for. Nobody can read what another function
/// has left there: it starts with [`Room::put`], or as memory that holds nothing.
#[repr(transparent)]
pub struct Room<T>(Cell<MaybeUninit<T>>);

impl<T> Room<T> {
    #[inline(always)]
    pub fn put(&self, value: T) -> &Cell<T> {
        self.0.set(MaybeUninit::new(value));
        // SAFETY: it holds a value, as from now on always
        unsafe { &*self.0.as_ptr().cast() }
    }

    /// Memory that means nothing, for who fills it by a pointer.
    #[inline(always)]
    pub fn empty(&self) -> *mut MaybeUninit<T> {
        self.0.as_ptr()
    }
}

/// A group of the sheet while it is written. Others find it when it is [`Draft::done`].
#[must_use]
pub struct Draft<'a, G> {
    group: &'a G,
    valid: &'a Cell<u32>,
    bit: u32,
}

impl<'a, G> Draft<'a, G> {
    #[inline(always)]
    pub fn new(group: &'a G, valid: &'a Cell<u32>, bit: u32) -> Self {
        Self { group, valid, bit }
    }

    /// All of it is written.
    #[inline(always)]
    pub fn done(self) -> &'a G {
        self.valid.set(self.valid.get() | self.bit);
        self.group
    }
}

impl<'a, T: Copy> Draft<'a, Cell<T>> {
    /// All of it at once.
    #[inline(always)]
    pub fn write(self, value: T) -> &'a Cell<T> {
        self.group.set(value);
        self.done()
    }
}

impl<G> Deref for Draft<'_, G> {
    type Target = G;

    #[inline(always)]
    fn deref(&self) -> &G {
        self.group
    }
}
