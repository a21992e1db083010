//! The limits of containers as the switch has them: by sandbox, while the container runs.

use super::view::View;
use crate::action::{Action, Entry};
use crate::model::{
    changes::Changes,
    container::{Container, Mode},
    state::State,
};

/// What changes of them: what is to be there before endpoints say so in their flags, and what goes after they
/// have ceased to.
pub fn changed(view: &View<'_>) -> (Vec<Action>, Vec<Action>) {
    let before = View {
        before: view.before,
        changes: &Changes::default(),
    };
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for (id, after) in &view.changes.containers {
        let old = before.container(id).and_then(|container| entry(&before, container));
        let new = after.as_ref().and_then(|container| entry(view, container));
        match (old, new) {
            (old, new) if old == new => {}
            (Some(old), Some(new)) if old.place() == new.place() => first.push(Action::Put {
                entry: new,
                before: Some(old),
            }),
            (old, new) => {
                first.extend(new.map(|entry| Action::Put { entry, before: None }));
                last.extend(old.map(|entry| Action::Remove { entry }));
            }
        }
    }
    (first, last)
}

/// All that there are.
pub fn all(state: &State) -> impl Iterator<Item = Entry> {
    let containers = state.containers.values();
    containers.filter_map(|container| {
        let view = View {
            before: state,
            changes: &Changes::default(),
        };
        entry(&view, container)
    })
}

fn entry(view: &View<'_>, container: &Container) -> Option<Entry> {
    // one that joins another's sandbox has none of its own
    if matches!(container.mode, Mode::Container(_)) {
        return None;
    }
    let value = container.limits.of_switch()?;
    match view.sandbox_number(container.sandbox.as_ref()?) {
        0 => None,
        sandbox => Some(Entry::Limits { sandbox, value }),
    }
}
