//! How a plot is put together.
//!
//! ```text
//! setting ─► goal ─► obstacle ─► helper ─► resolution ─► ending
//!   6        12      3 each      4 or none   2 or 1      8 or 6      = 15,120 plot shapes
//! ```
//!
//! Goals own their obstacles and obstacles their resolutions, because those must make sense together. Settings,
//! helpers and endings go with everything: they speak of the rest only through the story's variables and
//! [`Phrases`](super::tale::Phrases).

mod ending;
mod helper;
mod setting;

mod contest;
mod cook;
mod foundling;
mod garden;
mod gift;
mod journey;
mod learn;
mod lost;
mod mishap;
mod night;
mod quarrel;
mod stuck;

#[cfg(test)]
mod tests;

use std::fmt;

use super::author::Author;
use super::tale::Tale;

/// How a story opens, and how its goal then begins.
struct Setting {
    name: &'static str,
    opens: &'static str,
    then: &'static str,
}

/// What the hero sets out to do, and what may come in between.
struct Goal {
    name: &'static str,
    wants: &'static str,
    moral: &'static str,
    obstacles: &'static [Obstacle],
}

/// What goes wrong, how the hero says it, and how it is put right with a helper or alone.
struct Obstacle {
    name: &'static str,
    happens: &'static str,
    plea: &'static str,
    helped: &'static [&'static str],
    alone: &'static [&'static str],
}

/// How help comes, if it comes.
struct Helper {
    name: &'static str,
    who: Option<Who>,
    meets: &'static str,
}

/// Who helps: the variable that holds them, how they are called, and how they are spoken to.
struct Who {
    role: &'static str,
    called: &'static str,
    address: &'static str,
}

/// How a story ends.
struct Ending {
    name: &'static str,
    text: &'static str,
}

const GOALS: &[Goal] = &[
    lost::GOAL,
    stuck::GOAL,
    gift::GOAL,
    cook::GOAL,
    learn::GOAL,
    night::GOAL,
    foundling::GOAL,
    quarrel::GOAL,
    mishap::GOAL,
    journey::GOAL,
    garden::GOAL,
    contest::GOAL,
];

/// The shape of a story: which parts its plot is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlotId {
    setting: u8,
    goal: u8,
    obstacle: u8,
    helper: u8,
    resolution: u8,
    ending: u8,
}

/// `once/lost/thief/friend/2/feast`.
impl fmt::Display for PlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let goal = &GOALS[usize::from(self.goal)];
        write!(
            f,
            "{}/{}/{}/{}/{}/{}",
            setting::SETTINGS[usize::from(self.setting)].name,
            goal.name,
            goal.obstacles[usize::from(self.obstacle)].name,
            helper::HELPERS[usize::from(self.helper)].name,
            self.resolution + 1,
            ending::ENDINGS[usize::from(self.ending)].name,
        )
    }
}

/// Number of distinct plots that the grammar can tell.
pub fn plot_shapes() -> usize {
    let endings =
        |obstacle: &Obstacle, helper: &Helper| resolutions(obstacle, helper).len() * ending::after(helper).len();
    let goals: usize = GOALS
        .iter()
        .flat_map(|goal| goal.obstacles)
        .map(|obstacle| helper::HELPERS.iter().map(|helper| endings(obstacle, helper)).sum::<usize>())
        .sum();
    setting::SETTINGS.len() * goals
}

/// How `obstacle` may be overcome with `helper`.
fn resolutions(obstacle: &Obstacle, helper: &Helper) -> &'static [&'static str] {
    if helper.who.is_some() { obstacle.helped } else { obstacle.alone }
}

/// Tells one story. Each part is chosen where it begins to show.
pub(super) fn tell(author: &mut impl Author) -> PlotId {
    let mut tale = Tale::new(author);

    let (setting, opening) = tale.choose(setting::SETTINGS, |setting| setting.opens);
    tale.say(opening.opens);
    tale.say(" ");
    tale.say(setting::PORTRAIT);
    tale.paragraph();

    tale.phrases.then = opening.then;
    let (goal, aim) = tale.choose(GOALS, |goal| goal.wants);
    tale.phrases.moral = aim.moral;
    tale.say(aim.wants);
    tale.say(" ");
    let (obstacle, trouble) = tale.choose(aim.obstacles, |obstacle| obstacle.happens);
    tale.phrases.plea = trouble.plea;
    tale.say(trouble.happens);
    tale.paragraph();

    let (helper, ally) = tale.choose(helper::HELPERS, |helper| helper.meets);
    if let Some(Who { role, called, address }) = &ally.who {
        tale.phrases.helper_role = role;
        tale.phrases.helper = called;
        tale.phrases.address = address;
    }
    tale.say(ally.meets);
    tale.say(" ");
    let (resolution, resolves) = tale.choose(resolutions(trouble, ally), |text| text);
    tale.say(resolves);
    tale.paragraph();

    let (ending, ends) = tale.choose(ending::after(ally), |ending| ending.text);
    tale.say(ends.text);

    PlotId { setting, goal, obstacle, helper, resolution, ending }
}
