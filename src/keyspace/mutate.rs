//! Changes: each both changes the value in memory and records its op. They do no I/O and cannot
//! fail: what they touch was opened before.

use super::load::member_hash;
use super::transaction::Undo;
use super::{Error, Keyspace, SlotId, Stop, expiry, name_hash};
use crate::base::bytes::Bytes;
use crate::base::score::Score;
use crate::layout::op::{Content, DATABASES, Db, Element, Key, Op, Type};
use crate::value::order::Pair;
use crate::value::{Count, Form, HashValue, SetValue, Value, ZsetValue, element, score_content};

/// A value of more elements than this is freed on a helper thread.
pub(super) const FREED_AT_ONCE_MAX: usize = 10_000;

impl Keyspace {
    /// The string at a key, `None` where the key is absent. The key was opened with
    /// [`Want::Value`](super::Want).
    pub fn string(&self, id: SlotId) -> Result<Option<&Content>, Stop> {
        match self.value(id) {
            None => Ok(None),
            Some(Value::String(string)) => Ok(string.content()),
            Some(_) => Err(wrong_type()),
        }
    }

    /// The hash at a key, `None` where the key is absent. What was not asked for when the key was
    /// opened may be missing in it.
    pub fn hash(&self, id: SlotId) -> Result<Option<&HashValue>, Stop> {
        match self.value(id) {
            None => Ok(None),
            Some(Value::Hash(hash)) => Ok(Some(hash)),
            Some(_) => Err(wrong_type()),
        }
    }

    /// The set at a key, as [`Keyspace::hash`].
    pub fn set(&self, id: SlotId) -> Result<Option<&SetValue>, Stop> {
        match self.value(id) {
            None => Ok(None),
            Some(Value::Set(set)) => Ok(Some(set)),
            Some(_) => Err(wrong_type()),
        }
    }

    /// The sorted set at a key, as [`Keyspace::hash`].
    pub fn zset(&self, id: SlotId) -> Result<Option<&ZsetValue>, Stop> {
        match self.value(id) {
            None => Ok(None),
            Some(Value::Zset(zset)) => Ok(Some(zset)),
            Some(_) => Err(wrong_type()),
        }
    }

    /// The collection at a key, if it is of this type, as [`Keyspace::hash`].
    pub fn collection(&self, id: SlotId, kind: Type) -> Result<Option<&Value>, Stop> {
        match self.value(id) {
            Some(value) if value.kind() != kind => Err(wrong_type()),
            value => Ok(value),
        }
    }

    /// The value at a key, whatever its type.
    pub fn value(&self, id: SlotId) -> Option<&Value> {
        self.slot(id).and_then(|slot| slot.value.as_ref())
    }

    /// What OBJECT ENCODING replies for a key that is there.
    pub fn encoding(&self, id: SlotId) -> &'static str {
        self.value(id).map_or("raw", Value::encoding)
    }

    /// Makes a key a string with this content; the deadline of a string that was there stays.
    pub fn put_string(&mut self, id: SlotId, content: Content) {
        if self.kind(id) != Some(Type::String) {
            self.remove(id);
            self.create(id, Type::String);
        }
        self.record(id, |db, key| Op::Value(db, key, content.clone()));
        self.note_value(id);
        self.change(id, |slot| match &mut slot.value {
            Some(Value::String(string)) => string.put(content),
            _ => unreachable!("the key was made a string"),
        });
    }

    /// Makes a key a string with this content and no deadline: SET.
    pub fn set_string(&mut self, id: SlotId, content: Content) {
        self.put_string(id, content);
        self.set_deadline(id, None);
    }

    /// Notes that Redis would keep the string at a key in this form; it stays so until it is put.
    pub fn keep_as(&mut self, id: SlotId, form: Form) {
        self.caches[usize::from(id.db)].change(id.index, |slot| {
            if let Some(Value::String(string)) = &mut slot.value {
                string.keep_as(form);
            }
        });
    }

    /// Writes `data` at `offset` of the string at a key: APPEND and SETRANGE.
    pub fn patch_string(&mut self, id: SlotId, offset: u64, data: Content) {
        self.note_value(id);
        self.record(id, |db, key| Op::Patch(db, key, offset, data.clone()));
        self.change(id, |slot| {
            if let Some(Value::String(string)) = &mut slot.value {
                string.patch(offset, data);
            }
        });
    }

    /// Gives a field of a hash, made where it is missing, a value; answers whether the field is
    /// new. The field was asked for when the key was opened, here and below.
    pub fn hash_put(&mut self, id: SlotId, field: &[u8], value: Content) -> bool {
        let field = self.begin_put(id, Type::Hash, field);
        self.record(id, |db, key| Op::Put(db, key, Element::Field(field.clone()), value.clone()));
        self.note_element(id, &field);
        let new = self.change(id, |slot| match &mut slot.value {
            Some(Value::Hash(hash)) => hash.insert(field, value),
            _ => unreachable!("the key was opened as a hash"),
        });
        self.note_asked(id, i64::from(new), None);
        new
    }

    /// Removes a field of a hash; answers whether it was there.
    pub fn hash_remove(&mut self, id: SlotId, field: &[u8]) -> bool {
        let Some(Value::Hash(hash)) = self.value(id) else { return false };
        if hash.get(field).is_none() {
            return false;
        }
        self.record(id, |db, key| Op::Absent(db, key, Element::Field(field.into())));
        self.note_element(id, field);
        self.emptied.push(id);
        self.note_asked(id, -1, None);
        self.change(id, |slot| match &mut slot.value {
            Some(Value::Hash(hash)) => hash.remove(field),
            _ => unreachable!("the key was opened as a hash"),
        })
    }

    /// Adds a member to a set, made where it is missing; answers whether the member is new.
    pub fn set_add(&mut self, id: SlotId, member: &[u8]) -> bool {
        if let Some(Value::Set(set)) = self.value(id)
            && set.contains(member)
        {
            return false;
        }
        let member = self.begin_put(id, Type::Set, member);
        self.record(id, |db, key| {
            Op::Put(db, key, Element::Member(member.clone()), Content::new())
        });
        self.note_element(id, &member);
        let new = self.change(id, |slot| match &mut slot.value {
            Some(Value::Set(set)) => set.insert(member),
            _ => unreachable!("the key was opened as a set"),
        });
        self.note_asked(id, i64::from(new), None);
        new
    }

    /// Removes a member of a set; answers whether it was there.
    pub fn set_remove(&mut self, id: SlotId, member: &[u8]) -> bool {
        let Some(Value::Set(set)) = self.value(id) else { return false };
        if !set.contains(member) {
            return false;
        }
        self.record(id, |db, key| Op::Absent(db, key, Element::Member(member.into())));
        self.note_element(id, member);
        self.emptied.push(id);
        self.note_asked(id, -1, None);
        self.change(id, |slot| match &mut slot.value {
            Some(Value::Set(set)) => set.remove(member),
            _ => unreachable!("the key was opened as a set"),
        })
    }

    /// Gives a member of a sorted set, made where it is missing, a score; answers the one it had.
    pub fn zset_put(&mut self, id: SlotId, member: &[u8], score: Score) -> Option<Score> {
        let member = self.begin_put(id, Type::Zset, member);
        let old = match self.value(id) {
            Some(Value::Zset(zset)) => zset.score(&member),
            _ => unreachable!("the key was opened as a sorted set"),
        };
        if old == Some(score) {
            return old;
        }
        let content = score_content(score);
        self.note_element(id, &member);
        self.record(id, |db, key| Op::Put(db, key, Element::Member(member.clone()), content));
        if let Some(old) = old {
            self.record(id, |db, key| Op::Absent(db, key, Element::Scored(old, member.clone())));
        }
        self.record(id, |db, key| {
            Op::Put(db, key, Element::Scored(score, member.clone()), Content::new())
        });
        self.note_asked(id, i64::from(old.is_none()), Some((old, Some(score))));
        self.change(id, |slot| match &mut slot.value {
            Some(Value::Zset(zset)) => zset.insert(member, score),
            _ => unreachable!("the key was opened as a sorted set"),
        })
    }

    /// Removes a member of a sorted set; answers the score that it had.
    pub fn zset_remove(&mut self, id: SlotId, member: &[u8]) -> Option<Score> {
        let Some(Value::Zset(zset)) = self.value(id) else { return None };
        let score = zset.score(member)?;
        let member = Bytes::from(member);
        self.note_element(id, &member);
        self.record(id, |db, key| Op::Absent(db, key, Element::Member(member.clone())));
        self.record(id, |db, key| Op::Absent(db, key, Element::Scored(score, member.clone())));
        self.emptied.push(id);
        self.note_asked(id, -1, Some((Some(score), None)));
        self.change(id, |slot| match &mut slot.value {
            Some(Value::Zset(zset)) => zset.remove(&member),
            _ => unreachable!("the key was opened as a sorted set"),
        })
    }

    /// Removes these members of a sorted set, one behind the other in its order or backwards;
    /// answers how many they are.
    pub fn zset_remove_all(&mut self, id: SlotId, pairs: &[Pair]) -> usize {
        let Some(Value::Zset(zset)) = self.value(id) else { return 0 };
        if zset.count() == Count::Exact(pairs.len() as u64) {
            self.remove(id); // One op instead of two for each.
            return pairs.len();
        }
        let rank = |(score, member): &Pair| zset.order()?.rank(*score, member);
        let ends = pairs.first().zip(pairs.last());
        let Some((first, last)) = ends.and_then(|(a, b)| rank(a).zip(rank(b))) else {
            pairs.iter().for_each(|(_, member)| _ = self.zset_remove(id, member));
            return pairs.len();
        };
        let key = self.slot_key(id);
        for (score, member) in pairs {
            self.ops.push(Op::Absent(id.db, key.clone(), Element::Member(member.clone())));
            self.ops.push(Op::Absent(id.db, key.clone(), Element::Scored(*score, member.clone())));
        }
        self.note(|_| Undo::Members(id, pairs.to_vec()));
        self.forget_asked(id.db, &key); // It was asked about before it was loaded.
        self.change(id, |slot| match &mut slot.value {
            Some(Value::Zset(zset)) => zset.remove_range(first.min(last)..first.max(last) + 1),
            _ => unreachable!("the key was opened as a sorted set"),
        });
        pairs.len()
    }

    /// Makes the key a collection of this type where it is absent, and notes the element's name.
    fn begin_put(&mut self, id: SlotId, kind: Type, name: &[u8]) -> Bytes {
        if self.kind(id).is_none() {
            self.create(id, kind);
        }
        let hash = member_hash(id.db, &self.slot_key(id), name);
        self.members.add(hash);
        name.into()
    }

    /// Removes the collections that the command has taken the last element of.
    pub(super) fn remove_emptied(&mut self) {
        for id in std::mem::take(&mut self.emptied) {
            if self.value(id).is_some_and(|value| value.count() == Count::Exact(0)) {
                self.remove(id);
            }
        }
    }

    /// Sets or takes away the deadline of a key that is there.
    pub fn set_deadline(&mut self, id: SlotId, deadline: Option<u64>) {
        let before = self.deadline(id);
        if before == deadline {
            return;
        }
        self.record(id, |db, key| Op::Expires(db, key, deadline));
        self.note(|_| Undo::Deadline(id, before));
        self.change(id, |slot| slot.deadline = deadline);
        // A later one, too: its hint is the only one left once that of the earlier one was read.
        if let Some(ms) = deadline {
            self.file_deadline(id.db, self.slot_key(id), ms);
        }
    }

    /// Notes when a key is to be looked at: in memory where that is soon, and as a hint on disk.
    pub fn file_deadline(&mut self, db: Db, key: Key, ms: u64) {
        self.backlog.hint(expiry::minute(ms), db, key.clone());
        self.expiry.file(ms, db, key, self.now_ms);
    }

    /// Notes the deadline of a key that was looked at and is still there, in memory: that it has a
    /// hint on disk was seen to when it was set.
    pub fn note_deadline(&mut self, id: SlotId) {
        if let Some(ms) = self.deadline(id).filter(|ms| !expiry::is_past(*ms, self.now_ms)) {
            self.expiry.file(ms, id.db, self.slot_key(id), self.now_ms);
        }
    }

    /// Removes a key; answers whether it was there.
    pub fn remove(&mut self, id: SlotId) -> bool {
        if self.kind(id).is_none() {
            return false;
        }
        self.record(id, Op::AbsentKey);
        self.forget_asked(id.db, &self.slot_key(id));
        self.sizes.add(id.db, -1);
        let (value, deadline) = self.change(id, |slot| (slot.value.take(), slot.deadline.take()));
        self.note(|_| Undo::Deadline(id, deadline));
        self.keep_value(id, value);
        true
    }

    /// Has something freed on a helper thread.
    pub(super) fn retire<T: Send + 'static>(&mut self, garbage: Option<T>) {
        self.retired.extend(garbage.map(|garbage| Box::new(garbage) as Box<dyn Send>));
    }

    /// Makes `to` what `from` is, value and deadline; `from` was opened with
    /// [`Want::Whole`](super::Want).
    pub fn copy(&mut self, from: SlotId, to: SlotId) {
        let deadline = self.deadline(from);
        let Some(value) = self.value(from).cloned() else { return };
        self.remove(to);
        self.make(to, value);
        self.set_deadline(to, deadline);
    }

    /// Makes an absent key this value, which is complete and not empty.
    pub fn make(&mut self, id: SlotId, value: Value) {
        let kind = value.kind();
        self.create(id, kind);
        if let Value::String(string) = &value {
            let content = string.content().expect("a string is loaded before it is copied").clone();
            self.record(id, |db, key| Op::Value(db, key, content));
        }
        let key = self.slot_key(id);
        for (name, content) in value.contents() {
            self.members.add(member_hash(id.db, &key, &name));
            if kind == Type::Zset
                && let Some(score) = Score::from_content(&content)
            {
                let scored = Element::Scored(score, name.clone());
                self.ops.push(Op::Put(id.db, key.clone(), scored, Content::new()));
            }
            self.ops.push(Op::Put(id.db, key.clone(), element(kind, name), content));
        }
        self.change(id, |slot| slot.value = Some(value));
    }

    /// Empties a database.
    pub fn flush(&mut self, db: Db) {
        self.ops.push(Op::AbsentDb(db));
        self.floors[usize::from(db)] = self.backlog.next_seq();
        self.shown = self.backlog.next_seq();
        self.sizes.set(db, 0);
        self.counts.forget(db);
        self.forget_asked_of(db);
        let cache = std::mem::take(&mut self.caches[usize::from(db)]);
        self.keep_cache(db, cache);
        self.clears_filters = true;
    }

    /// Where databases were emptied and nothing is left, no name is known any more.
    pub(super) fn clear_filters(&mut self) {
        if std::mem::take(&mut self.clears_filters)
            && (0..DATABASES).all(|db| self.sizes.known(db) == Some(0))
        {
            self.filter.clear();
            self.members.clear();
        }
    }

    /// Makes an absent key one of this type, with nothing in it.
    fn create(&mut self, id: SlotId, kind: Type) {
        let key = self.slot_key(id);
        self.filter.add(name_hash(id.db, &key));
        self.sizes.add(id.db, 1);
        self.ops.push(Op::Make(id.db, key, kind));
        self.note(|_| Undo::Value(id, None));
        self.change(id, |slot| slot.value = Some(Value::new(kind)));
    }

    fn record(&mut self, id: SlotId, op: impl FnOnce(Db, Key) -> Op) {
        let key = self.slot_key(id);
        self.ops.push(op(id.db, key));
    }

    pub(super) fn slot_key(&self, id: SlotId) -> Key {
        self.caches[usize::from(id.db)].slot(id.index).key.clone()
    }
}

/// Redis' answer to a key that holds another type.
fn wrong_type() -> Stop {
    let text = "WRONGTYPE Operation against a key holding the wrong kind of value";
    Stop::Error(Error::fixed(text))
}
