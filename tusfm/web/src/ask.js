// One question at a time, before something is lost for good.

const $ = (id) => document.getElementById(id)

/**
 * Ask whether to go on; *act* runs after a yes and returns a sentence when it failed, else nothing.
 * Return whether it was done.
 */
export function ask(title, text, yes, act) {
  const dialog = $('ask')
  $('ask-title').textContent = title
  $('ask-text').textContent = text
  $('ask-problem').textContent = ''
  $('ask-yes').textContent = yes
  dialog.showModal()
  return new Promise((resolve) => {
    let done = false
    dialog.onclose = () => resolve(done)
    $('ask-no').onclick = () => dialog.close()
    $('ask-yes').onclick = async () => {
      $('ask-yes').disabled = true
      const problem = await act()
      $('ask-yes').disabled = false
      $('ask-problem').textContent = problem ?? ''
      done = !problem
      if (done) dialog.close()
    }
  })
}
