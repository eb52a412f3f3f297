//! Sleeping in a tent, in the dark.

use super::{Goal, Obstacle};

pub(super) const GOAL: Goal = Goal {
    name: "night",
    wants: r#"{then} {hero} [put up|built] a {color} tent {place.at}, {spot}. {He} [wanted|was going] to sleep [outside|there all night|under the stars]. {He} [brought|packed] {his} {toy}, [a pillow|a warm blanket|a sleeping bag] and some {food}. When [the sun went down|the
        moon came up|the first star came out], {he} [crawled|crept] inside."#,
    moral: r#"[was not afraid of|liked|smiled in|slept well in] the dark"#,
    obstacles: &[NOISE, SHADOW, STORM],
};

const NOISE: Obstacle = Obstacle {
    name: "noise",
    happens: r#"{Sound}, {sound}! What was that? {Hero} [sat up|held {his} breath|hugged {his} {toy}]. {Sound}, {sound}! It [sounded|seemed] [big|near|hungry|like {a thief} with boots]. {He} was [all alone|far from home], and {he} felt [so|very] {sad}."#,
    plea: "Something goes {sound} in the dark",
    helped: &[
        r#"{Helper} [lit|held up] a [lamp|candle|torch]. "[Come|Follow me], we will go and see," {helper.he} said. They went [on tiptoe|hand in hand|step by step]. {Sound}, {sound}! And what did they see {spot2}? It was only {source}! "[Silly me|Is that all|What a surprise]," [said|laughed] {hero}."#,
        r#""[Answer it|Say it back]," said {helper}. So {hero} [tapped|clapped|called], "{Sound}, {sound}!" and waited. {Sound}, {sound}, came the answer. They [did|played] this {number} times, and it became a song. In the morning they saw what had sung with them: {source}!"#,
    ],
    alone: &[
        r#"{He} took {a pole} and [peeked|looked] out. {Sound}, {sound}! {He} went nearer, past {a junk}, past {a beast} that was asleep. There {he} saw it, {spot2}. It was only {source}. {Hero} laughed [out loud|until {his} belly hurt] and went back to the tent."#,
    ],
};

const SHADOW: Obstacle = Obstacle {
    name: "shadow",
    happens: r#"Then {he} saw a [shadow|shape] on the wall of the tent. It had {number} [arms|legs|horns|tails] and a [head|nose|mouth|hat] like {a junk}. It [moved|waved|grew|swayed]! {Hero} [pulled the blanket over {his} head|did not dare to move], and {he} felt [so|very] {sad}."#,
    plea: "There is a monster [at|outside|behind] my tent",
    helped: &[
        r#"{Helper} [walked|went] around the tent. "[I have your monster|I found it|Come and meet it]!" {helper.he} [called|laughed]. It was {a beast}, {spot2}! It was so [small|tiny] that it could sit on {hero}'s [finger|nose|ear|knee]. The moon had made its shadow [big|tall|huge]."#,
        r#"{Helper} [sat|knelt] down and held {helper.his} hands in front of the [lamp|moon|light]. "Look, {a beast}," said {helper}. "Look, {a beast2}!" {Hero} tried it too. {He} made {a thief} and a {number}-legged [king|fish|chicken|snowman]. The monster was only a [tree|bush|fence] that liked to play."#,
    ],
    alone: &[
        r#""Good evening, [monster|shadow|you there]," {he} said. "[Would you like|Do you want] some {food}?" Nobody answered. {He} looked out. A [tree|coat|bush|scarecrow] was [nodding|waving] in the wind, and {a beast} was asleep on it. "[Good night|Sweet dreams]," said {hero}."#,
    ],
};

const STORM: Obstacle = Obstacle {
    name: "storm",
    happens: r#"Soon [dark|black|heavy] clouds came. [Boom|Crack|Rumble]! The thunder [rolled|roared|growled], and rain [fell|poured|drummed] on the tent. A {junk} [flew|rolled|blew] by. {Hero} [covered {his} ears|held on to {his} {toy}|hid in {his} blanket], and {he} felt [so|very] {sad}."#,
    plea: "The storm is so loud",
    helped: &[
        r#""[Count with me|Let us count]," said {helper}. "When the lightning comes, we count until the thunder." [Flash|Zip]! They counted to {number}. [Flash|Zap]! They counted to twenty. "It is going [away|home|to sleep]," said {hero}. Then they ate {food} and [listened to|told stories about] the rain."#,
        r#"{Helper} [had|brought] {a pole} and a [big|{color2}] cloth, and they made a roof over the tent. "Thunder is only [clouds|giants] playing with [drums|balls|pots and pans]," said {helper}. {Hero} played too, on {a junk2}. [Boom|Bang|Clang]! They were [louder|merrier] than the storm."#,
    ],
    alone: &[
        r#"{He} [began|started] to sing. {He} sang about {flower}, about {a beast}, and about {food}. {He} sang {number} songs, each one [louder|longer|sillier] than the last. When {he} stopped, the storm [was over|had gone], and the [moon|stars] shone on the wet [grass|leaves|hills]."#,
    ],
};
