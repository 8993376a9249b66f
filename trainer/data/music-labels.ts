/**
 * Which labels of a video speak of its music. YouTube-8M's labels are names of knowledge-graph entities, most of them of
 * what is seen (Wedding, Stadium, Final Fantasy); words that describe wanted music must not give the pictures away.
 *
 * A label is a music label if one of its words begins with a stem of STEMS or is a word of WORDS, unless it names a game
 * or a shop that does (OTHER): instruments, their parts and makers, who plays, what is played and where it is released.
 * Not: dances, parades, festivals of no said kind, arenas, shows.
 */
const STEMS =
  'music|guitar|drum|pian|violin|cell(?:o|ist)\\b|fiddle|flut|clarinet|saxophon|trumpet|trombon|harmoni[ck]a|harpsichord|' +
  'accordion|concertina|bagpipe|banjo|mandolin|ukulele|balalaika|bouzouki|sitar|cymbal|percussion|marimba|xylophon|' +
  'vibraphon|glockenspiel|timbal|timpani|bongo|djembe|tabla|keyboard|synthesi|sequencer|sampler|orchestr|ensemble|' +
  'quartet|quintet|trio\\b|choir|chorus|chor(?:al|ister)|concert|song|sing(?:er|ing)\\b|vocal|compos(?:er|ition)|' +
  'conductor|opera\\b|flamenco|dulcimer|steelpan|handbell|telecaster|stratocaster|humbucker'

const WORDS =
  'album|alesis|balafon|band|bass|bassoon|beatbox|cajón|cdj|charango|cornet|didgeridoo|dj|disc jockey|dubstep|' +
  'epiphone|erhu|euphonium|fender|flugelhorn|french horn|garmon|gibson|gramophone record|guzheng|hang \\(instrument\\)|' +
  'harp|harps|hip hop|house music|jazz|kora|koto|lute|lyre|mapex|mixing console|oboe|organ|paiste|pan flute|piccolo|' +
  'bajo sexto|recorder \\(musical instrument\\)|sabian|sanshin|shamisen|soundtrack|brass instrument|' +
  'string instrument|string \\(music\\)|strum|talk box|techno|theremin|tin whistle|tuba|turntable|viola|rapping'

const OTHER = new Set([
  'guitar center',
  'guitar pick',
  'the phantom of the opera (1986 musical)',
  'lord of the dance (musical)',
])
/** Games about music, and whatever says that it is a game. */
const GAME = /^(guitar hero|rock band|rocksmith|beatmania|taiko no tatsujin)|video game/

const MUSIC = new RegExp(`(?<![\\p{L}\\p{N}])(?:(?:${STEMS})|(?:${WORDS})(?![\\p{L}\\p{N}]))`, 'u')

export function isMusicLabel(label: string): boolean {
  const name = label.toLowerCase()
  return MUSIC.test(name) && !OTHER.has(name) && !GAME.test(name)
}
