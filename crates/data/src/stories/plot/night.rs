//! Sleeping in a tent, in the dark.

use super::{Goal, Obstacle};

pub(super) const GOAL: Goal = Goal {
    name: "night",
    wants: r#"{then} {hero} {quickly} [put up|built] {a nice} {color} tent {place.at}, {spot}, to [sleep|spend the
        night|camp] there. {He} [brought|packed|took] {his} {dear} {toy}, {a nice} [pillow|blanket|sleeping bag] and
        some {food}. Under [the moon|{a nice} moon|{number} stars] {he} {quickly} [crawled|crept] inside."#,
    moral: r#"[was not afraid of|liked|smiled in|slept well in] the dark"#,
    obstacles: &[NOISE, SHADOW, STORM],
};

const NOISE: Obstacle = Obstacle {
    name: "noise",
    happens: r#"{Sound}, {sound}! What was that? {Hero} [sat up|held {his} breath|hugged {his} {toy}]. {Sound},
        {sound}! It [sounded|seemed] [big|near|hungry|like {a thief} with boots]. {He} felt {very} {sad}, like {like}."#,
    plea: "Something goes {sound} in the dark",
    helped: &[
        r#"{Helper} {quickly} [lit|held up] {a nice} [lamp|candle|torch]. They [crept|walked|went|tiptoed] past
            {a thing}. {Sound}, {sound}! And what did they see {spot2}? It was only {source}! "[Silly me!|Is that
            all?|What a surprise!]" [said|laughed] {hero}."#,
        r#""[Answer it|Say it back]," {said} {helper}{kindly}. So {hero} {quickly} [tapped|clapped|called], "{Sound},
            {sound}!" and waited. {Sound}, {sound}, came the answer. They {quickly} did this {number} times. In the
            morning they saw what had sung with them: {source}!"#,
    ],
    alone: &[
        r#"{He} took {a pole} and {quickly} [peeked|looked] out. {Sound}, {sound}! {He} went past {a thing} and past
            {a critter}. There {he} saw it, {spot2}. It was only {source}. {Hero} laughed [out loud|until {his} belly
            hurt] and went back to the tent."#,
    ],
};

const SHADOW: Obstacle = Obstacle {
    name: "shadow",
    happens: r#"Then {he} saw a [shadow|shape] on the wall of the tent. It had {number} [arms|legs|horns|tails] and a
        [head|nose|mouth|hat] like {a thing}. It [moved|waved|grew|swayed]! {Hero} [pulled the blanket over {his}
        head|did not dare to move], and {he} felt {very} {sad}, like {like}."#,
    plea: "There is a monster [at|outside|behind] my tent",
    helped: &[
        r#"{Helper} {quickly} [walked|went] around the tent. "[I have your monster|I found it|Come and meet it]!"
            {helper.he} [called|laughed]. It was {a critter}, {spot2}! It [sat|sneezed|danced|sang|hopped] on {hero}'s
            [finger|nose|ear|knee|shoulder|head]. Only its shadow was [big|tall|huge|scary]."#,
        r#"{Helper} {quickly} [sat|knelt] down and held {helper.his} hands in front of the [lamp|moon|light]. "Look,
            {a critter}," {said} {helper}{kindly}. "Look, {a critter}!" {Hero} tried it too. {He} made {a thief} and
            {a number}-legged [king|fish|chicken|snowman]. The monster was only {a nice} [tree|bush|fence] that liked
            to play."#,
    ],
    alone: &[
        r#""Good evening, [monster|shadow|you there]," {he} said. "[Would you like|Do you want] some {meal}?" Nobody
            answered. {A nice} [tree|coat|bush|scarecrow] was [nodding|waving] in the wind, and {a critter} was asleep
            on it. "[Good night|Sweet dreams]," said {hero}."#,
    ],
};

const STORM: Obstacle = Obstacle {
    name: "storm",
    happens: r#"Soon [dark|black|heavy] clouds came. [Boom|Crack|Rumble]! The thunder [rolled|roared|growled], and
        rain [fell|poured|drummed] on the tent. {A thing} [flew|rolled|blew|sailed] by. {Hero} [covered {his}
        ears|held on to {his} {toy}|hid in {his} blanket], and {he} felt {very} {sad}, like {like}."#,
    plea: "The storm is so loud",
    helped: &[
        r#""[Count with me|Let us count]," {said} {helper}{kindly}. "[Flash|Zip|Zap]!" They counted to {number}.
            [Flash|Zip|Zap]! They counted to {number}. "It is going [away|home|to sleep]," said {hero}. Then they
            {quickly} ate {food} and [listened to|told stories about] the rain."#,
        r#"{Helper} [had|brought] {a pole} and {a nice} {color2} cloth, and they {quickly} made a roof over the tent.
            "Thunder is only [clouds|giants] playing with [drums|balls|pots and pans]," {said} {helper}{kindly}.
            {Hero} played too, on {a thing}. [Boom|Bang|Clang]! They were [louder|merrier] than the storm."#,
    ],
    alone: &[
        r#"{He} {quickly} [began|started] to sing. {He} sang about {flower}, about {a critter}, and about {food}. {He}
            sang {number} songs, each one [louder|longer|sillier] than the last. When {he} stopped, the storm [was
            over|had gone], and the [moon|stars] shone on the wet [grass|leaves|hills]."#,
    ],
};
