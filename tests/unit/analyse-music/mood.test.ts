import assert from 'node:assert/strict'
import { test } from 'node:test'
import { moodCues, moodEvidence, placeOnCircumplex } from '../../../processors/analyse-music/mood.ts'
import { vocabulary } from '../../../processors/analyse-music/vocabulary.ts'
import { descriptors } from './descriptors.ts'

const noHints = { arousal: 0, valence: 0 }

const place = (changes: Parameters<typeof descriptors>[0], hints = noHints) =>
  placeOnCircumplex(moodCues(descriptors(changes), undefined), hints)

const likeliest = (changes: Parameters<typeof descriptors>[0]) => {
  const at = place(changes)
  return vocabulary
    .flatMap(({ tag, circumplex }) => (circumplex ? [{ tag, evidence: moodEvidence(at, circumplex) }] : []))
    .sort((a, b) => b.evidence - a.evidence)
    .map(({ tag }) => tag)
}

test('a usual tempo, density, level and timbre lie in the middle of arousal', () => {
  assert.ok(Math.abs(place({}).arousal) < 0.05)
})

test('faster and denser music is more aroused, major is more pleasant than minor', () => {
  assert.ok(place({ bpm: 150 }).arousal > place({ bpm: 112 }).arousal)
  assert.ok(place({ bpm: 112 }).arousal > place({ bpm: 70 }).arousal)
  assert.ok(place({ onsetRateHz: 6 }).arousal > place({ onsetRateHz: 0.5 }).arousal)
  assert.ok(place({ mode: 'major' }).valence > 0.3)
  assert.ok(place({ mode: 'minor' }).valence < -0.3)
})

test('a key that was hardly recognised says little of valence', () => {
  assert.ok(Math.abs(place({ mode: 'minor', keyConfidence: 0.01 }).valence) < 0.1)
})

test('labels of fast music raise arousal, labels of pleasant music valence', () => {
  assert.ok(place({}, { arousal: 1, valence: 0 }).arousal > place({}).arousal)
  assert.ok(place({}, { arousal: 0, valence: 1 }).valence > place({}).valence)
})

test('fast dense major is happy, fast dense minor is not; slow sparse minor is sad, slow sparse major is calm', () => {
  assert.ok(likeliest({ bpm: 150, onsetRateHz: 6, mode: 'major' }).slice(0, 4).includes('happy'))
  assert.ok(!likeliest({ bpm: 150, onsetRateHz: 6, mode: 'minor' }).slice(0, 6).includes('happy'))
  assert.equal(likeliest({ bpm: 65, onsetRateHz: 0.3, mode: 'minor' })[0], 'sad')
  assert.ok(likeliest({ bpm: 65, onsetRateHz: 0.3, mode: 'major' }).slice(0, 3).includes('calm'))
})

test('evidence for a mood is greatest at its own place and against it on the other side', () => {
  const sad = vocabulary.find(({ tag }) => tag === 'sad')!.circumplex!
  const at = moodEvidence({ valence: sad[0], arousal: sad[1] }, sad)
  assert.ok(at > 0)
  assert.ok(at > moodEvidence({ valence: sad[0] + 0.5, arousal: sad[1] }, sad))
  assert.ok(moodEvidence({ valence: -sad[0], arousal: -sad[1] }, sad) < 0)
})

test('music in the middle of the circumplex speaks for a mood of the middle', () => {
  assert.ok(moodEvidence({ valence: 0, arousal: 0 }, [0, 0]) > 0)
})

test('silence has no tempo and no mode, and lies low in arousal', () => {
  const { tempo, majorness } = moodCues(descriptors({ silent: true }), undefined)
  assert.deepEqual([tempo, majorness], [0, 0])
  assert.ok(place({ silent: true }).arousal < -0.5)
})
