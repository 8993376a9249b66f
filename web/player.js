/**
 * One track at a time under the muted video: the picture leads, the music follows.
 *
 *   [lead]   play, pause and seek of the video move the music with it
 *   [sync]   music time = video time + where the track starts; more than DRIFT_SECONDS apart, the music is moved
 *   [alone]  with no video the track simply plays, from where it would fit
 *   [latest] starting another track while one is still loading leaves only the later one
 */
import { byId, clockTime, element } from './dom.js'

const DRIFT_SECONDS = 0.15

/** @typedef {{ id: string, title: string, url: string, startSeconds: number }} Cue */

/** @param {(playing: string | null) => void} onChange told the id of the track that sounds, or null */
export function createPlayer(onChange) {
  const stage = byId('stage', HTMLElement)
  const video = byId('video', HTMLVideoElement)
  const audio = element('audio', { preload: 'auto' })
  stage.append(audio)
  const transport = byId('transport', HTMLElement)
  const toggle = byId('toggle', HTMLButtonElement)
  const title = byId('playing-title', HTMLElement)
  const note = byId('playing-note', HTMLElement)
  const seek = byId('seek', HTMLInputElement)
  const volume = byId('volume', HTMLInputElement)
  /** @type {Cue | null} */
  let cue = null
  let hasVideo = false

  const lead = () => (hasVideo ? video : audio)
  const wanted = () => (cue === null ? 0 : cue.startSeconds) + video.currentTime
  const moving = () => (hasVideo && !video.paused) || (cue !== null && !audio.paused)

  function show() {
    const on = moving()
    toggle.classList.toggle('pause', on)
    toggle.setAttribute('aria-label', on ? 'Pause' : 'Play')
    onChange(on && cue ? cue.id : null)
  }

  function showPosition() {
    const { currentTime, duration } = lead()
    seek.max = String(Number.isFinite(duration) ? duration : 0)
    seek.value = String(currentTime)
    seek.setAttribute('aria-valuetext', clockTime(currentTime))
  }

  /** [sync] */
  function align() {
    if (cue === null || !hasVideo || video.seeking || audio.seeking || audio.readyState === 0) return
    if (!audio.ended && Math.abs(audio.currentTime - wanted()) > DRIFT_SECONDS) audio.currentTime = wanted()
  }

  function explain() {
    transport.hidden = cue === null && !hasVideo
    title.textContent = cue === null ? 'Muted' : cue.title
    if (cue === null) note.textContent = 'Play a track to hear it under the picture'
    else if (!hasVideo) note.textContent = 'Choose a video to hear it under the picture'
    else if (cue.startSeconds === 0) note.textContent = 'In sync with the picture'
    else note.textContent = `From ${clockTime(cue.startSeconds)} of the track, where it fits best`
  }

  /** A start that another one overtook is no error; a file that cannot be played is told. @param {HTMLMediaElement} media */
  function start(media) {
    media.play().catch((error) => {
      if (error.name === 'NotSupportedError') note.textContent = 'This browser cannot play the file.'
      show()
    })
  }

  function play() {
    if (hasVideo)
      start(video) // an ended video begins again
    else start(audio)
  }

  function pause() {
    video.pause()
    audio.pause()
  }

  // [lead] Events come late: only the state of now counts.
  video.addEventListener('play', () => {
    if (cue === null || video.paused) return
    align()
    if (audio.paused) start(audio)
  })
  video.addEventListener('pause', () => {
    if (video.paused) audio.pause()
  })
  video.addEventListener('seeked', align)
  video.addEventListener('timeupdate', align)
  for (const media of [video, audio]) {
    for (const event of ['play', 'pause', 'ended']) media.addEventListener(event, show)
    for (const event of ['timeupdate', 'durationchange']) media.addEventListener(event, showPosition)
  }
  const toggled = () => (moving() ? pause() : play())
  video.addEventListener('click', toggled)
  toggle.addEventListener('click', toggled)
  seek.addEventListener('input', () => {
    lead().currentTime = Number(seek.value)
  })
  const setVolume = () => {
    audio.volume = Number(volume.value)
  }
  volume.addEventListener('input', setVolume)
  setVolume()

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
    /** Starts the track, and the video from its beginning as soon as the track sounds. @param {Cue} next */
    play(next) {
      pause()
      cue = next
      audio.src = next.url
      if (hasVideo) video.currentTime = 0
      const current = () => cue === next // [latest]
      const once = { once: true }
      audio.addEventListener('loadedmetadata', () => current() && moveTo(next.startSeconds), once)
      audio.addEventListener('playing', () => current() && hasVideo && start(video), once)
      start(audio) // at once: browsers allow sound only inside the click
      explain()
    },
    pause,
  }

  /** @param {number} seconds */
  function moveTo(seconds) {
    if (seconds > 0) audio.currentTime = seconds
  }
}
