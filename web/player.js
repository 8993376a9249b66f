/**
 * One track at a time under the muted video: the picture leads, the music follows.
 *
 *   [lead]   play, pause and seek of the video move the music with it
 *   [sync]   music time = video time + where the track starts; more than DRIFT_SECONDS apart, the music is moved
 *   [alone]  with no video the track simply plays
 *   [latest] starting another track while one is still loading leaves only the later one
 */
import { byId, clockTime } from './dom.js'

const DRIFT_SECONDS = 0.15

/** @typedef {{ id: string, title: string, url: string, startSeconds: number }} Cue */

/** @param {(playing: string | null) => void} onChange told the id of the track that sounds, or null */
export function createPlayer(onChange) {
  const stage = byId('stage', HTMLElement)
  const video = byId('video', HTMLVideoElement)
  const transport = byId('transport', HTMLElement)
  const toggle = byId('toggle', HTMLButtonElement)
  const title = byId('playing-title', HTMLElement)
  const note = byId('playing-note', HTMLElement)
  const volume = byId('volume', HTMLInputElement)
  const audio = new Audio()
  audio.preload = 'auto'
  /** @type {Cue | null} */
  let cue = null
  let hasVideo = false

  const wanted = () => (cue ? cue.startSeconds : 0) + (hasVideo ? video.currentTime : 0)
  const sounding = () => cue !== null && !audio.paused
  const moving = () => (hasVideo ? !video.paused : sounding())

  function show() {
    const on = moving()
    toggle.classList.toggle('pause', on)
    toggle.setAttribute('aria-label', on ? 'Pause' : 'Play')
    onChange(on && cue ? cue.id : null)
  }

  /** [sync] */
  function align() {
    if (cue === null || !hasVideo || video.seeking || audio.seeking) return
    if (Math.abs(audio.currentTime - wanted()) > DRIFT_SECONDS && !audio.ended) audio.currentTime = wanted()
  }

  function explain() {
    transport.hidden = cue === null && !hasVideo
    title.textContent = cue ? cue.title : 'Muted'
    if (cue === null) note.textContent = 'Play a track to hear it under the picture'
    else if (cue.startSeconds > 0)
      note.textContent = `From ${clockTime(cue.startSeconds)} of the track, where it fits best`
    else note.textContent = hasVideo ? 'In sync with the picture' : 'Choose a video to hear it under the picture'
  }

  /** A blocked or superseded start is no error; one that cannot be decoded is told. @param {HTMLMediaElement} media */
  function start(media) {
    media.play().catch((error) => {
      if (error.name === 'NotSupportedError') note.textContent = 'This browser cannot play the file.'
      show()
    })
  }

  function play() {
    if (hasVideo) {
      if (video.ended) video.currentTime = 0
      start(video)
    }
    if (cue !== null) {
      audio.currentTime = hasVideo ? wanted() : audio.currentTime
      start(audio)
    }
  }

  function pause() {
    video.pause()
    audio.pause()
  }

  video.addEventListener('play', () => cue !== null && audio.paused && play()) // [lead]
  video.addEventListener('pause', () => audio.pause())
  video.addEventListener('seeked', align)
  video.addEventListener('timeupdate', align)
  video.addEventListener('click', () => (moving() ? pause() : play()))
  audio.addEventListener('waiting', () => hasVideo && sounding() && video.pause())
  for (const media of [video, audio])
    for (const event of ['play', 'pause', 'ended']) media.addEventListener(event, show)
  toggle.addEventListener('click', () => (moving() ? pause() : play()))
  volume.addEventListener('input', () => {
    audio.volume = Number(volume.value)
  })
  audio.volume = Number(volume.value)

  return {
    /** @param {string | null} url */
    setVideo(url) {
      pause()
      hasVideo = url !== null
      stage.toggleAttribute('data-empty', url === null)
      if (url === null) video.removeAttribute('src')
      else video.src = url
      explain()
    },
    /** Starts the track from the video's beginning. @param {Cue} next */
    play(next) {
      pause()
      cue = next
      audio.src = next.url
      if (hasVideo) video.currentTime = 0
      const begin = () => {
        if (cue !== next) return // [latest]
        audio.currentTime = next.startSeconds
        play()
      }
      audio.addEventListener('loadedmetadata', begin, { once: true })
      audio.load()
      explain()
    },
    pause,
  }
}
