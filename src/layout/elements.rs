//! The tree writer's part for collections: elements come and go as files of a key's directories.
//!
//! A field is a file in `fields/`, a member one in `values/`; a member of a sorted set is also a
//! line of the group of its score. What goes, goes first, and makes room. Directories are made when
//! they are needed, with the key where that is made; they are removed with it only. Here it is
//! known which element lies where; how a name is written is known by `entries`, and what a
//! group looks like by `regroup`.

use std::collections::BTreeMap;
use std::io;

use crate::base::score::Score;
use crate::layout::entries::NameDir;
use crate::layout::files::{Files, there};
use crate::layout::names;
use crate::layout::op::{Element, Fate, KeyChange, Type};
use crate::layout::paths;
use crate::layout::regroup::{GroupChange, Regroup, Scores};

/// Brings about what a change says of elements, in the key's directory. With `fresh` that is empty.
pub(super) fn write(
    files: &mut Files,
    regroup: &mut Regroup,
    key_dir: &str,
    change: &KeyChange<'_>,
    fresh: bool,
) -> io::Result<()> {
    let made = match change.core.fate {
        Fate::Made(Type::String) | Fate::Stays | Fate::Removed => None,
        Fate::Made(kind) => Some(kind),
    };
    if let Some(kind) = made {
        there(files.disk.create_dir(&paths::elements(key_dir, kind)))?;
        if kind == Type::Zset {
            there(files.disk.create_dir(&paths::scores(key_dir)))?;
        }
    }
    if change.elements.is_empty() {
        return Ok(());
    }
    let dir_of = |kind: Type| {
        let path = paths::elements(key_dir, kind);
        let of_made =
            made.is_some_and(|made| paths::elements_name(made) == paths::elements_name(kind));
        if fresh && of_made { NameDir::new_of_files(path) } else { NameDir::of_files(path) }
    };
    let (mut fields, mut values) = (dir_of(Type::Hash), dir_of(Type::Set));
    for put in [false, true] {
        let of_turn = change.elements.iter().filter(|(_, content)| content.is_some() == put);
        for (element, content) in of_turn {
            match (element, content) {
                (Element::Field(name), None) => {
                    files.remove_entry(&mut fields, names::encode(name))?;
                }
                (Element::Member(name), None) => {
                    files.remove_entry(&mut values, names::encode(name))?;
                }
                (Element::Field(name), Some(content)) => {
                    files.put_entry(&mut fields, names::encode(name), Some(content))?;
                }
                (Element::Member(name), Some(content)) => {
                    let content = Some(&***content).filter(|content| !content.is_empty());
                    files.put_entry(&mut values, names::encode(name), content)?;
                }
                (Element::Scored(..), _) => {}
            }
        }
    }
    write_groups(files, regroup, key_dir, change, fresh && made == Some(Type::Zset))
}

fn write_groups(
    files: &mut Files,
    regroup: &mut Regroup,
    key_dir: &str,
    change: &KeyChange<'_>,
    fresh: bool,
) -> io::Result<()> {
    let mut groups: BTreeMap<Score, GroupChange<'_>> = BTreeMap::new();
    for (element, content) in &change.elements {
        if let Element::Scored(score, name) = element {
            let group = groups.entry(*score).or_default();
            let list = if content.is_some() { &mut group.puts } else { &mut group.absents };
            list.push(name);
        }
    }
    let scores = Scores {
        db: change.db,
        key: change.key.clone(),
        dir: paths::scores(key_dir),
        values: paths::elements(key_dir, Type::Zset),
        fresh,
    };
    groups.iter().try_for_each(|(score, group)| regroup.change(files, &scores, *score, group))
}
