-- What Markdown cannot say: line breaks inside cells, row headings, and boxes for the typesetter.
local typst = FORMAT:match("typst") ~= nil
local docx = FORMAT:match("docx") ~= nil
local styles = { banner = "Banner", small = "Small", label = "Label", keys = "Keys" }

function Span(el)
  if el.classes:includes("br") then return pandoc.LineBreak() end
  if typst and el.attributes.lang then
    local out = pandoc.List({ pandoc.RawInline("typst", '#text(lang: "' .. el.attributes.lang .. '")[') })
    out:extend(el.content)
    out:insert(pandoc.RawInline("typst", "]"))
    return out
  end
end

function Table(el)
  for _, body in ipairs(el.bodies) do
    if body.row_head_columns == 0 then body.row_head_columns = 1 end
  end
  return el
end

function Div(el)
  for _, name in ipairs({ "banner", "facts", "keys", "keep", "small", "label" }) do
    if el.classes:includes(name) then
      if typst then
        local out = pandoc.List({ pandoc.RawBlock("typst", "#" .. name .. "-box[") })
        out:extend(el.content)
        out:insert(pandoc.RawBlock("typst", "]"))
        return out
      elseif docx and styles[name] then
        el.attributes["custom-style"] = styles[name]
        return el
      end
    end
  end
end
