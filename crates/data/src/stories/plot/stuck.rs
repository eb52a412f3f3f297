//! A thing that flies has landed where it should not.

use super::{Goal, Obstacle};

pub(super) const GOAL: Goal = Goal {
    name: "stuck",
    wants: r#"{then} {hero} [went|walked|skipped|ran] to {place} with {a nice} {color} {flyer}. {He} [wanted|hoped] to
        make it fly [higher than|as high as] [the trees|the roofs|a bird|the clouds]. Up it went, and {a critter}
        [looked|stared|gazed|blinked] at it in surprise. "[Look at it go|Fly, fly|Higher, higher]!" {cried} {hero}."#,
    moral: r#"always [looked up at|watched|checked] the [wind|sky|trees] first"#,
    obstacles: &[TREE, ROOF, WATER],
};

const TREE: Obstacle = Obstacle {
    name: "tree",
    happens: r#"[Suddenly|Then|But then], a [strong|wild|cold|sudden|gusty|mighty|playful|howling] wind [blew|came],
        and the {flyer} got stuck in {a tree} tree. {Hero} jumped {number} times, but {he} was too
        [small|short|little]. {He} felt {very} {sad}, like {like}."#,
    plea: "My {flyer} is stuck in that {tree} tree",
    helped: &[
        r#"{Helper} {quickly} [found|fetched|brought] {a pole} and [reached|pointed] up with it. [Tap, tap|Poke,
            poke|Swish, swish]! [An acorn|A leaf|An old nest|A twig] fell down. Then the {flyer} [fell|came|slid] down
            too, [right into {hero}'s arms|with a soft bump|with {a thing} behind it]."#,
        r#""[We must shake it|Let us shake the tree]," {said} {helper}{kindly}. "[One, two, three|Ready, steady, go]!"
            They {quickly} shook and shook. Down fell [leaves|twigs], down fell {a thing}, down fell {a critter}, and
            last of all the {color} {flyer} fell down."#,
    ],
    alone: &[r#"{He} {quickly} put one foot on a branch. Then {he} climbed, [slowly|bit by bit|branch by branch], past
        {a beast2} and {a thing}, until {he} could touch the {flyer}. {He} [pulled it loose|set it free] and climbed
        down [again|with great care]."#],
};

const ROOF: Obstacle = Obstacle {
    name: "roof",
    happens: r#"But the [string broke|wind turned], and the {flyer} landed on the roof of {a nice}
        [barn|shop|house|school|mill|library|church|shed|hotel|palace]. "{oh}!" {cried} {hero}. {He} {quickly}
        [threw|tossed] {a nice} [pebble|ball|shoe|stick] at it, but it did not move. {He} was {very} {sad}, like
        {like}."#,
    plea: "My {flyer} is up on the roof",
    helped: &[
        r#""[I know who has|I know where to find] {a pole}," {said} {helper}{kindly}. {Helper.he} came back with it
            after {number} minutes. {Hero} held it [still|tight|steady] while {helper} {quickly}
            [pushed|nudged|hooked] the {flyer} [again and again|little by little]. It wobbled, it slid, and it
            [dropped|floated|sailed] down. {A thing} came down with it!"#,
        r#""[The wind took it|The wind put it there], so the wind can bring it back," {said} {helper}{kindly}. They
            sat down [and ate some {food}|and told stories|and sang {number} songs|and played a game]. At last the
            wind [blew|came] again, and the {flyer} [jumped|danced|rolled] off the roof."#,
    ],
    alone: &[
        r#"[Behind|Beside] the house {he} found {a pole} and {a thing}. {He} tied them together [with {his} belt|with
            some grass|with a vine] and [stretched|reached] up as high as {he} could. [Scrape, scrape|Clack,
            clack|Bump, bump]! The {flyer} slid off the roof and [landed|fell] [at {his} feet|on {his} head|in a
            bush]."#,
    ],
};

const WATER: Obstacle = Obstacle {
    name: "water",
    happens: r#"But it came down in {a nice} [pond|stream|fountain|puddle|lake]. It [floated|drifted|bobbed] there
        next to {a thing}. {Hero} was {very} {sad}, like {like}."#,
    plea: "My {flyer} is in the water",
    helped: &[
        r#"{Helper} {quickly} lay down on {helper.his} belly and [stretched out|held out] {a pole}. It was too short!
            So {hero} {quickly} held {helper} by the [feet|legs|coat|sleeve|shoes]. [Splash|Plop|Splosh]! Now they had
            the {flyer}, but their [noses|faces|clothes] were all wet, and {a beast2} laughed at them."#,
        r#""[We need waves|Let us make waves]," {said} {helper}{kindly}. They {quickly} threw in {number}
            [stones|pebbles|sticks], and each one made a wave. [Plip, plop|Splish, splash|Plunk, plunk]! Each wave
            pushed the {flyer} [nearer|closer], past {a thing}, past {a beast2}, until {hero} could pick it up."#,
    ],
    alone: &[r#"{He} took {a pole} and {quickly} [drew|pulled|swept] it through the water, so that the {flyer} came
        [nearer|closer]. First {he} caught {a thing}. Then {he} caught {a thing}. [At last|Finally] {he} caught the
        {flyer}, and {he} [shook|squeezed] it dry in the sun."#],
};
