//! Two friends and one toy.

use super::{Goal, Obstacle};

pub(super) const GOAL: Goal = Goal {
    name: "quarrel",
    wants: r#"{then} {hero} and {rival} [met|played] {place.at}. They had been friends [for a long time|for {number}
        [days|weeks|months]|since they were babies|since last [summer|winter]]. {Spot}, they found {a nice} {color}
        {toy}. "[I saw it first|It is mine]!" {cried} {hero}. "No, [I saw it first|it is mine|I did]!" {cried}
        {rival}. Each of them pulled at one end."#,
    moral: r#"[shared|was glad to share] [everything|all {his} toys|even {his} {food}] with {rival}"#,
    obstacles: &[TORE, LEFT, SHOUTED],
};

const TORE: Obstacle = Obstacle {
    name: "tore",
    happens: r#"They {quickly} pulled {number} times. [Rip|Snap|Crack|Twang|Pop]! The {toy} broke in two, and they
        both landed {spot2}. {Rival} [held|looked at] one half, and {hero} [held|looked at] the other half. Now nobody
        had {a toy}, and {hero} felt {very} {sad}, like {like}."#,
    plea: "We both wanted the {toy}, and now it is broken",
    helped: &[
        r#"{Helper} {quickly} [took|looked at] the two halves. "[Two can mend it|It takes two]," {said}
            {helper}{kindly}. So {hero} [held|pressed] the halves together, and {rival} [wound|tied] some {material}
            around them, {number} times. It looked like {a thing}, but it worked! "[You first|After you|Your turn],"
            they both said{kindly}."#,
        r#""[Once|Long ago], two friends of mine broke {a thing}," {said} {helper}{kindly}. "[They never spoke
            again|They are still angry]. Do you want that?" {Hero} looked at {rival}, and {rival} looked at {hero}.
            "[No|Never]!" they said. They {quickly} made {a thing} and {a gift} out of the two halves and played
            [shop|pirates|school|circus|kings and queens] until [lunch|evening]."#,
    ],
    alone: &[r#"{He} {quickly} [gave|handed] {his} half to {rival}. "[You can have it|I am sorry]," {he} said. {Rival}
        [blushed|was quiet]. Then {rival.he} gave {rival.his} half to {hero}! They gave the halves [back and forth|to
        each other] {number} times, and in the end they [sewed|glued|tied] them together with some {material}."#],
};

const LEFT: Obstacle = Obstacle {
    name: "left",
    happens: r#"{Hero} {quickly} [got|took|won] the {toy}. {Rival} {quickly} [went home|walked away|ran off]. {Hero}
        played with the {toy} {spot2}, and then {spot3}, but it was no fun [alone|at all]. Even {a critter} [turned
        its back on {him}|did not want to watch]. {He} felt {very} {sad}, like {like}."#,
    plea: "I have the {toy}, but I have lost {rival}",
    helped: &[
        r#""[A friend is worth more than|No friend is worth less than|You can not laugh with] {a toy}," {said}
            {helper}{kindly}. "[Go and tell {rival}|Say it to {rival}]." They {quickly} [went|walked] to {rival}'s
            [door|house|window] and [knocked|rang]. "I am sorry," said {hero}. "[Here, it is yours|You may have it
            first]." {Rival} smiled. "Let us play with it [together|by turns].""#,
        r#"{Helper} [gave|handed] {him} a [pencil|pen|crayon] and {a nice} piece of paper. {Hero} wrote, "[Dear|My
            dear] {rival}, I miss you. [The {toy} misses you too|Come back, and bring {food}|Let us share]." {Helper}
            [took|carried] the letter to {rival}. {Number} minutes later, {rival} came running, [out of breath|with
            open arms|with some {flower}]."#,
    ],
    alone: &[r#"{He} {quickly} ran after {rival}, past {a thing}, past {a tree} tree, all the way to the {landmark}.
        "[Wait|Stop|Please wait], {rival}!" {he} called. "[You can have|I want you to have] the {toy} on
        [Mondays|weekdays|sunny days], and I will have it on [Sundays|weekends|rainy days]." {Rival} [nodded|thought
        about it|grinned]. "And [today|now] it is [ours|for both of us]," {rival.he} said."#],
};

const SHOUTED: Obstacle = Obstacle {
    name: "shouted",
    happens: r#""You are [as rude as|worse than] {a thief}!" {cried} {rival}. "And you are [as silly as|slower than]
        {a critter}!" {cried} {hero}. They shouted so loudly that {a critter} fell off {a nice} leaf. Then they
        {quickly} sat down back to back. {Hero} felt {very} {sad}, like {like}."#,
    plea: "{Rival} and I both want the {toy}",
    helped: &[
        r#"{Helper} {quickly} drew {a nice} [line|circle] in the [sand|dust|mud]. "[Whoever|The one who] throws
            {a thing} nearest to it will [begin|be first]," {said} {helper}{kindly}. They {quickly} threw it {number}
            times. It was {a nice} game, and soon they [forgot|did not think of] the {toy}. {Helper} [played|went
            home] with it, and nobody minded."#,
        r#"{Helper} [gave|brought] each of them some {food}. "[Eat first|First eat], and [fight|shout] later," {said}
            {helper}{kindly}. They {quickly} ate it all. "What was it about?" asked {rival}{kindly}. "[I forgot|About
            {a thing}|About {a critter}|I do not know]," said {hero}, and they [laughed|giggled] until they [fell
            over|cried|had to hold their bellies]."#,
    ],
    alone: &[
        r#"Then {he} [counted|breathed] slowly to {number} and turned around. {Rival} had turned around too, at the
            very same [time|moment]. "[Sorry|I am sorry]," they both said. They {quickly} [built|made] {a nice} house
            for the {toy} {spot2}, with {a thing} for a [door|roof|chimney], so that it could belong to both of them."#,
    ],
};
