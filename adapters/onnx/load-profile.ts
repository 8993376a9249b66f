/**
 * Makes the encoders of a profile from its manifest. Reading the manifest is all that happens at first: an encoder is
 * made when it is asked for, reads its labels then, and loads its graphs and tokenizer at its first use.
 */
import { encoderFiles, type Profile, readProfile } from '../models/profile.ts'
import { expectedFile, type ProfileLocation, profileFolder, readLock } from '../models/profile-files.ts'
import { EncoderFiles } from './encoder-files.ts'
import { ImageTower } from './image-tower.ts'
import { MusicTagger } from './music-tagger.ts'
import { OnnxSessions, type SessionSettings } from './session.ts'
import { TextTower } from './text-tower.ts'

export interface LoadedProfile {
  readonly manifest: Profile
  /** The same object each time. @throws SetupError when a file of the encoder is missing, changed or has no hash yet. */
  readonly imageEncoder: ImageTower
  readonly musicEncoder: MusicTagger
  readonly textEncoder: TextTower
  /** Frees the graphs; the encoders cannot be used afterwards. */
  dispose(): Promise<void>
}

/**
 * @param id of a profile, or the path of a manifest.
 * @throws SetupError 'unknown-profile' | 'bad-profile' | 'bad-lock'
 */
export async function loadProfile(
  id: string,
  { sessions: settings, ...location }: ProfileLocation & { sessions?: Partial<SessionSettings> },
): Promise<LoadedProfile> {
  const manifest = await readProfile(id, location.repositoryModels)
  const folder = profileFolder(manifest, location)
  const lock = await readLock(folder)
  const sessions = new OnnxSessions(settings)
  const { video, music, text } = manifest.encoders
  const filesOf = (encoder: typeof video | typeof music | typeof text) =>
    new EncoderFiles(encoderFiles(encoder).map((name) => expectedFile(manifest, folder, lock, name)))

  let imageEncoder: ImageTower | undefined
  let musicEncoder: MusicTagger | undefined
  let textEncoder: TextTower | undefined
  return {
    manifest,
    get imageEncoder() {
      imageEncoder ??= new ImageTower(video, filesOf(video), sessions)
      return imageEncoder
    },
    get musicEncoder() {
      musicEncoder ??= new MusicTagger(music, filesOf(music), sessions)
      return musicEncoder
    },
    get textEncoder() {
      textEncoder ??= new TextTower(text, filesOf(text), sessions)
      return textEncoder
    },
    dispose: () => sessions.dispose(),
  }
}
