/** The attributes of a track's row in the index: what filters can ask for (gateway/filters.ts offers the same names). */
import type { TrackDocument } from '../../ports/catalogue.ts'
import { WORLDWIDE } from '../../ports/rights.ts'
import type { Attributes } from '../../ports/vector-index.ts'

/** A tag below this confidence is not claimed by a filter. */
const FILTER_CONFIDENCE = 0.3

export function trackAttributes({ upload, tagged }: TrackDocument): Attributes {
  const attributes: Record<string, readonly string[] | number> = {}
  if (upload !== undefined) {
    attributes.explicit = [upload.rights.explicit ? 'yes' : 'no']
    if (upload.rights.licence !== null) attributes.licence = [upload.rights.licence]
    attributes.territory = upload.rights.territories.length > 0 ? upload.rights.territories : [WORLDWIDE]
    if (upload.artist !== null) attributes.artist = [upload.artist]
  }
  if (tagged !== undefined) {
    for (const category of ['genre', 'mood', 'instrument', 'vocals']) {
      const tags = tagged.tags.filter((tag) => tag.category === category && tag.confidence >= FILTER_CONFIDENCE)
      if (tags.length > 0) attributes[category] = tags.map(({ tag }) => tag.toLowerCase())
    }
    attributes.key = [tagged.key.tonic]
    attributes.mode = [tagged.key.mode]
    attributes.bpm = tagged.tempo.bpm
    attributes.durationSeconds = tagged.durationSeconds
    attributes.loudnessLufs = tagged.loudnessLufs
  }
  return attributes
}
