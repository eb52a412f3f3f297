//! The variables of a story, which range over classes of words.
//!
//! A variable holds one row of its class, chosen where it is first mentioned. Two variables of one class never
//! hold the same row. A fresh variable is chosen again at each mention. A variable may have to agree with another in
//! a column: a hero of group `girl` is of a kind of group `girl`, whichever of the two is mentioned first.

use super::{cast, class::Class, voice, world};

/// Something a story keeps consistent.
pub(super) struct Variable {
    pub name: &'static str,
    pub class: &'static Class,
    /// `(other variable, column)`: cells that must be equal once both are bound.
    pub agrees: Option<(&'static str, &'static str)>,
    /// Whether each mention is a choice of its own.
    pub fresh: bool,
}

const fn free(name: &'static str, class: &'static Class) -> Variable {
    Variable { name, class, agrees: None, fresh: false }
}

const fn bound_to(name: &'static str, class: &'static Class, agrees: (&'static str, &'static str)) -> Variable {
    Variable { name, class, agrees: Some(agrees), fresh: false }
}

const fn fresh(name: &'static str, class: &'static Class) -> Variable {
    Variable { name, class, agrees: None, fresh: true }
}

/// All variables of a story.
pub(super) static VARIABLES: &[Variable] = &[
    bound_to("hero", &cast::NAMES, ("kind", "group")),
    bound_to("kind", &cast::HERO_KINDS, ("hero", "group")),
    free("species", &cast::SPECIES),
    bound_to("friend", &cast::NAMES, ("hero", "world")),
    bound_to("friendkind", &cast::FRIEND_KINDS, ("friend", "group")),
    free("friendspecies", &cast::SPECIES),
    bound_to("rival", &cast::NAMES, ("hero", "world")),
    free("elder", &cast::FAMILY),
    free("loved", &cast::FAMILY),
    free("creature", &cast::CREATURES),
    free("neighbor", &cast::NEIGHBORS),
    free("trait", &cast::TRAITS),
    free("sad", &cast::SAD),
    free("glad", &cast::GLAD),
    free("hobby", &cast::HOBBIES),
    free("hobby2", &cast::HOBBIES),
    free("skill", &cast::SKILLS),
    free("cloth", &cast::CLOTHES),
    free("dream", &cast::DREAMS),
    free("place", &world::PLACES),
    bound_to("spot", &world::SPOTS, ("place", "land")),
    bound_to("spot2", &world::SPOTS, ("place", "land")),
    bound_to("spot3", &world::SPOTS, ("place", "land")),
    free("region", &world::REGIONS),
    free("landmark", &world::LANDMARKS),
    free("weather", &world::WEATHER),
    free("time", &world::TIMES),
    free("color", &world::COLORS),
    free("color2", &world::COLORS),
    free("color3", &world::COLORS),
    free("toy", &world::TOYS),
    free("flyer", &world::FLYERS),
    free("food", &world::FOODS),
    free("food2", &world::FOODS),
    free("dish", &world::DISHES),
    free("ingredient", &world::INGREDIENTS),
    free("ingredient2", &world::INGREDIENTS),
    free("beast", &world::BEASTS),
    free("beast2", &world::BEASTS),
    free("flower", &world::FLOWERS),
    free("tree", &world::TREES),
    free("thief", &world::THIEVES),
    free("pole", &world::POLES),
    free("gift", &world::GIFTS),
    free("material", &world::MATERIALS),
    free("baby", &world::BABIES),
    free("sound", &world::SOUNDS),
    free("source", &world::SOURCES),
    free("fragile", &world::FRAGILE),
    free("plant", &world::PLANTS),
    free("contest", &world::CONTESTS),
    free("prize", &world::PRIZES),
    free("keepsake", &world::KEEPSAKES),
    free("keepsake2", &world::KEEPSAKES),
    free("keepsake3", &world::KEEPSAKES),
    fresh("number", &world::NUMBERS),
    fresh("thing", &world::JUNK),
    fresh("critter", &world::BEASTS),
    fresh("meal", &world::FOODS),
    fresh("bloom", &world::FLOWERS),
    fresh("trinkets", &world::KEEPSAKES),
    fresh("said", &voice::SAID),
    fresh("cried", &voice::CRIED),
    fresh("sighed", &voice::SIGHED),
    fresh("kindly", &voice::KINDLY),
    fresh("sadly", &voice::SADLY),
    fresh("quickly", &voice::QUICKLY),
    fresh("nice", &voice::NICE),
    fresh("very", &voice::VERY),
    fresh("like", &voice::LIKE),
    fresh("like2", &voice::LIGHT),
    fresh("oh", &voice::OH),
    fresh("dear", &voice::DEAR),
];
