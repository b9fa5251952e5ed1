//! A table with something for some types.

use super::ResourceType;

/// At most one `T` for each type. A type without one costs a pointer, so that what is kept for each client does not grow
/// with the types that it never asks for.
#[derive(Debug, Clone)]
pub struct PerType<T>([Option<Box<T>>; ResourceType::COUNT]);

impl<T> PerType<T> {
    /// What there is for a type.
    #[must_use]
    pub fn get(&self, kind: ResourceType) -> Option<&T> {
        self.0[kind.index()].as_deref()
    }

    /// What there is for a type, to be changed.
    pub fn get_mut(&mut self, kind: ResourceType) -> Option<&mut T> {
        self.0[kind.index()].as_deref_mut()
    }

    /// What there is for a type, after this put something there if there was nothing.
    pub fn get_or_insert_with(&mut self, kind: ResourceType, make: impl FnOnce() -> T) -> &mut T {
        self.0[kind.index()].get_or_insert_with(|| Box::new(make()))
    }

    /// All that there is, in the order of the types.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(Option::as_deref)
    }

    /// All that there is, to be changed, in the order of the types.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().filter_map(Option::as_deref_mut)
    }
}

impl<T> Default for PerType<T> {
    fn default() -> Self {
        PerType(Default::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_holds_what_was_put_there_in_the_order_of_the_types() {
        let mut table: PerType<u8> = PerType::default();
        assert_eq!(table.get(ResourceType::Secret), None);
        *table.get_or_insert_with(ResourceType::Secret, || 2) += 1;
        *table.get_or_insert_with(ResourceType::Secret, || 7) += 1;
        table.get_or_insert_with(ResourceType::Cluster, || 1);
        assert_eq!(table.values().copied().collect::<Vec<_>>(), [1, 4]);
        assert_eq!(table.get(ResourceType::Secret), Some(&4));
        assert_eq!(table.get_mut(ResourceType::Listener), None);
        assert_eq!(size_of_val(&table), ResourceType::COUNT * size_of::<usize>(), "a pointer for each type");
    }
}
