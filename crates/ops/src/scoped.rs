//! Settings of a thread that hold while a closure runs.

use std::{cell::Cell, thread::LocalKey};

/// Run `f` with `value` in `setting`, and put back what was there, after a panic too.
pub(crate) fn scoped<V: Copy, T>(setting: &'static LocalKey<Cell<V>>, value: V, f: impl FnOnce() -> T) -> T {
    struct Restore<V: Copy + 'static>(&'static LocalKey<Cell<V>>, V);
    impl<V: Copy> Drop for Restore<V> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _restore = Restore(setting, setting.replace(value));
    f()
}
