//! A slab: values under small stable keys, without a hash and without an allocation once it has grown.

/// Values by key. A key is reused after [`Slab::remove`]; whoever holds one answers for its freshness.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Option<usize>,
}

#[derive(Debug)]
enum Entry<T> {
    Used(T),
    Free(Option<usize>),
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: None }
    }
}

impl<T> Slab<T> {
    /// Stores a value.
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> usize {
        if let Some(key) = self.free
            && let Some(entry) = self.entries.get_mut(key)
        {
            if let Entry::Free(next) = entry {
                self.free = *next;
            }
            *entry = Entry::Used(value);
            return key;
        }
        if self.entries.len() == self.entries.capacity() {
            // Most connections have one of each: a vector's first growth would be for four.
            self.entries.reserve_exact(self.entries.len().max(1));
        }
        self.entries.push(Entry::Used(value));
        self.entries.len().saturating_sub(1)
    }

    /// Takes a value out.
    pub(crate) fn remove(&mut self, key: usize) -> Option<T> {
        let entry = self.entries.get_mut(key)?;
        if matches!(entry, Entry::Free(_)) {
            return None;
        }
        let old = std::mem::replace(entry, Entry::Free(self.free));
        self.free = Some(key);
        match old {
            Entry::Used(value) => Some(value),
            Entry::Free(_) => None,
        }
    }

    pub(crate) fn get(&self, key: usize) -> Option<&T> {
        match self.entries.get(key)? {
            Entry::Used(value) => Some(value),
            Entry::Free(_) => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: usize) -> Option<&mut T> {
        match self.entries.get_mut(key)? {
            Entry::Used(value) => Some(value),
            Entry::Free(_) => None,
        }
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.iter_mut().filter_map(|entry| match entry {
            Entry::Used(value) => Some(value),
            Entry::Free(_) => None,
        })
    }

    /// The keys in use at this moment.
    pub(crate) fn keys(&self) -> Vec<usize> {
        let used = self.entries.iter().enumerate();
        used.filter(|(_, entry)| matches!(entry, Entry::Used(_))).map(|(key, _)| key).collect()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.keys().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_reused_and_removing_twice_is_harmless() {
        let mut slab = Slab::default();
        let a = slab.insert("a");
        let b = slab.insert("b");
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!(slab.remove(a), None);
        assert_eq!(slab.insert("c"), a);
        assert_eq!((slab.get(a), slab.get(b), slab.len()), (Some(&"c"), Some(&"b"), 2));
        assert_eq!(slab.values_mut().count(), 2);
    }
}
